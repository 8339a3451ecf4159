package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/eyewall/eyewall/reactor"
)

// server is one, until its stdin ends.
func server(name string) error {
	config, err := config()
	if err != nil {
		return err
	}
	go obey()
	if name != "net" {
		return reactor.Serve(context.Background(), "tcp", "127.0.0.1:0",
			func(c reactor.Conn) error { return echo(c, config) },
			reactor.WithBackend(name),
			reactor.WithListening(func(l reactor.Listening) { fmt.Println(l.Addr) }))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go echo(c, config)
	}
}

// echo serves a connection, on either.
func echo(c net.Conn, config *tls.Config) error {
	conn := tls.Server(c, config)
	defer conn.Close()
	buf := make([]byte, 512)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// obey gives memory back for each line on stdin, and tells what is left.
func obey() {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		for range 3 { // a collection shrinks a stack by half at most
			debug.FreeOSMemory()
		}
		time.Sleep(50 * time.Millisecond)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(m.HeapInuse, m.StackInuse)
	}
	os.Exit(0)
}

// config has a certificate that nobody trusts.
func config() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}
