package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eyewall/eyewall/reactor"
)

// net/http serves over a shared listener, and its client dials over the same loop: many requests at once, bodies larger
// than any buffer in both directions, and a shutdown in good order.
func TestHTTP(t *testing.T) {
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		ln := listen(t, l, "tcp", "127.0.0.1:0")
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/echo":
				io.Copy(w, r.Body)
			default:
				fmt.Fprintf(w, "%s from %s", r.URL.Path, r.RemoteAddr)
			}
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(ln) }()
		transport := &http.Transport{DialContext: l.DialContext, MaxIdleConnsPerHost: 10}
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		base := "http://" + ln.Addr().String()

		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 20 {
					path := fmt.Sprintf("/%d/%d", i, j)
					answer, err := client.Get(base + path)
					if err != nil {
						t.Errorf("Get: %v", err)
						return
					}
					body, err := io.ReadAll(answer.Body)
					answer.Body.Close()
					if !strings.HasPrefix(string(body), path+" from 127.0.0.1:") || err != nil {
						t.Errorf("the answer is %q, %v", body, err)
					}
				}
			})
			wg.Go(func() {
				sent := bytes.Repeat([]byte{byte(i), 1, 2}, 500_000)
				answer, err := client.Post(base+"/echo", "application/octet-stream", bytes.NewReader(sent))
				if err != nil {
					t.Errorf("Post: %v", err)
					return
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if !bytes.Equal(body, sent) || err != nil {
					t.Errorf("%d bytes came back of %d: %v", len(body), len(sent), err)
				}
			})
		}
		wg.Wait()
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}
