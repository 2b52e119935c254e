package service

import "time"

// SetPatience sets how long a message waits for room.
func (n *Notifier) SetPatience(p time.Duration) { n.patience = p }
