module github.com/eyewall/eyewall/tests

go 1.26.0

require (
	github.com/eyewall/eyewall v0.0.0
	golang.org/x/net v0.62.0
)

require (
	github.com/pawelgaczynski/giouring v0.0.0-20230826085535-69588b89acb9 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/eyewall/eyewall => ..
