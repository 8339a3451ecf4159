// Package tests runs other modules' code over eyewall's connections. It is a module of its own, so that whoever imports
// eyewall need not have those.
package tests
