//go:build unix && !linux

package all

import _ "github.com/eyewall/eyewall/backend/selectpoll"
