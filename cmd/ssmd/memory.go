package main

import (
	"runtime/debug"
	"sync"
	"time"
)

// memoryRests is how long after what took it memory is given back: what follows at
// once may use it again.
const memoryRests = time.Second

var givingBack = sync.OnceValue(func() *time.Timer { return time.AfterFunc(memoryRests, debug.FreeOSMemory) })

// giveBack gives the memory that only a start needed, or a reload, or writing the
// state, back to the system, once it rests. Otherwise as much again as is in use
// stays with the process.
func giveBack() { givingBack().Reset(memoryRests) }
