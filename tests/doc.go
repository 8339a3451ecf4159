// Package tests runs other modules' code over eyewall's connections. It is a module of its own, so that whoever imports
// eyewall need not have those. The program stdnet runs the standard library's own tests of net and net/http over
// eyewall's shared connections:
//
//	go -C tests run ./stdnet
package tests
