package main

import (
	"runtime/debug"
	"time"
)

// memoryRests is how long after a start the memory that it took is given back:
// what follows at once may use it again.
const memoryRests = time.Second

// giveBack gives the memory that only a start needed back to the system, once.
// Otherwise as much again as is in use stays with the process. A reload may need it
// again soon.
func giveBack() { time.AfterFunc(memoryRests, debug.FreeOSMemory) }
