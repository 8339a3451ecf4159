package all

import (
	_ "github.com/eyewall/eyewall/backend/epoll"
	_ "github.com/eyewall/eyewall/backend/selectpoll"
	_ "github.com/eyewall/eyewall/backend/uring"
)
