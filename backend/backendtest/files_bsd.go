//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package backendtest

import "golang.org/x/sys/unix"

var systemFileTests []test

// dup2 makes newfd another number for oldfd.
func dup2(oldfd, newfd int) error {
	err := unix.Dup2(oldfd, newfd)
	if err == nil {
		unix.CloseOnExec(newfd)
	}
	return err
}
