package membership

// wholly is a portion that is never spent.
func wholly() *portion { return &portion{every: 1, more: func() bool { return true }} }

// oneCall is a portion of one join or leave.
func oneCall() *portion {
	left := 1
	return &portion{every: 1, more: func() bool {
		left--
		return left >= 0
	}}
}
