//go:build unix && !linux

package reactor

// descriptors cannot be told here.
func descriptors() map[string]string { return nil }
