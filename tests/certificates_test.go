package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for both ends, on the loopback address.
type authority struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	roots *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, "GenerateKey", err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "authority"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign,
		IsCA:     true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, "CreateCertificate", err)
	a := &authority{key: key, roots: x509.NewCertPool()}
	a.cert, err = x509.ParseCertificate(der)
	must(t, "ParseCertificate", err)
	a.roots.AddCert(a.cert)
	return a
}

// sign makes a certificate for either end.
func (a *authority) sign(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, "GenerateKey", err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key.Public(), a.key)
	must(t, "CreateCertificate", err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// files writes the authority's certificate, and another with its key, in PEM.
func (a *authority) files(t testing.TB, of tls.Certificate) (ca, cert, key string) {
	t.Helper()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(of.PrivateKey)
	must(t, "MarshalPKCS8PrivateKey", err)
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		must(t, "WriteFile", os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	return write("ca.pem", "CERTIFICATE", a.cert.Raw), write("cert.pem", "CERTIFICATE", of.Certificate[0]), write("key.pem", "PRIVATE KEY", pkcs8)
}

// tlsVersions are those that both crypto/tls and openssl speak without being asked twice.
var tlsVersions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

// configs are for a server and a client that talk one version of TLS.
func (a *authority) configs(t testing.TB, version uint16) (server, client *tls.Config) {
	t.Helper()
	server = &tls.Config{Certificates: []tls.Certificate{a.sign(t, "server")}, MinVersion: version, MaxVersion: version}
	client = &tls.Config{RootCAs: a.roots, ServerName: "localhost", MinVersion: version, MaxVersion: version}
	return server, client
}
