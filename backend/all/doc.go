// Package all registers the backends that this system has, for their effect on [backend.Open].
package all
