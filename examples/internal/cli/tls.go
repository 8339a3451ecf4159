package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// TLS is a server's configuration from the flags -tls-cert and -tls-key; nil where neither is given.
func TLS(cert, key string) (*tls.Config, error) {
	switch {
	case cert == "" && key == "":
		return nil, nil
	case cert == "":
		return nil, errors.New("-tls-key needs -tls-cert, too")
	case key == "":
		return nil, errors.New("-tls-cert needs -tls-key, too")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
