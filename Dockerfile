# Two images (docker/README.md has more):
#
#   docker build --target test -t eyewall-test .    the tests, to be run where the reactor is to run
#   docker build -t eyewall .                       the echo server alone
#
# What a container may do with io_uring is decided when it runs (docker run --security-opt seccomp=docker/seccomp.json),
# so the tests run then, not while their image is built.

FROM golang:1.26-bookworm AS source
# Given as --build-arg NAME they take the caller's value; left out, Go's own defaults hold.
ARG GOPROXY
ARG GOSUMDB
ARG GOFLAGS
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .

FROM source AS test
# Compiled here, so that a run needs no network and begins at once, also that of another user (docker run --user).
ENV GOCACHE=/go/cache
RUN go test -run '^$' ./... && chmod -R a+rwX "$GOCACHE"
CMD ["go", "test", "./..."]

FROM source AS build
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /echo ./examples/echo

FROM scratch
COPY LICENSE /LICENSE
COPY --from=build /echo /echo
# No name: there is no /etc/passwd. 65532 is what other images without one use for "nonroot".
USER 65532:65532
EXPOSE 8888
# Flags after the image's name come last and win: docker run eyewall -backend epoll
ENTRYPOINT ["/echo", "-addr", "0.0.0.0:8888"]
