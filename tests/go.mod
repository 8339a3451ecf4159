module github.com/eyewall/eyewall/tests

go 1.26.0

require (
	github.com/eyewall/eyewall v0.0.0
	github.com/gobwas/ws v1.4.0
	github.com/pires/go-proxyproto v0.8.1
	github.com/valyala/fasthttp v1.68.0
	golang.org/x/net v0.62.0
)

require (
	github.com/andybalholm/brotli v1.2.0 // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/pool v0.2.1 // indirect
	github.com/klauspost/compress v1.18.1 // indirect
	github.com/pawelgaczynski/giouring v0.0.0-20230826085535-69588b89acb9 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/eyewall/eyewall => ..
