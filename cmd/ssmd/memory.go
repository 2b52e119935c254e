package main

import (
	"runtime/debug"
	"time"
)

// memoryRests is how long after a start or a reload the memory that it took is
// given back: what follows at once may use it again.
const memoryRests = time.Second

// giveBack gives the memory that only a start or a reload needed back to the
// system, once. Otherwise as much again as is in use stays with the process.
func giveBack() { time.AfterFunc(memoryRests, debug.FreeOSMemory) }
