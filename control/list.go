package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// list makes an empty list of none, so that JSON never says null.
func list[T any](items []T, err error) ([]T, error) {
	if items == nil {
		items = []T{}
	}
	return items, err
}

// stream is a list that is written piece by piece: a long one takes no memory
// of its length, and its reader has the first of it while the rest is made.
type stream[T any] []T

// pieceSize is about how many bytes are written at once.
const pieceSize = 32 << 10

// decodeEach appends the elements of a list, and has but one of them in memory
// twice.
func decodeEach[T any](r io.Reader, to *[]T) error {
	decoder := json.NewDecoder(r)
	first, err := decoder.Token()
	if err != nil {
		return err
	}
	if first != json.Delim('[') {
		return fmt.Errorf("%v, want a list", first)
	}
	for decoder.More() {
		var one T
		if err := decoder.Decode(&one); err != nil {
			return err
		}
		*to = append(*to, one)
	}
	_, err = decoder.Token()
	return err
}

// encode writes on one line what the slice would be.
func (s stream[T]) encode(w io.Writer) error {
	var piece bytes.Buffer
	encoder := json.NewEncoder(&piece)
	encoder.SetEscapeHTML(false)
	piece.WriteByte('[')
	for i := range s {
		if i > 0 {
			piece.WriteByte(',')
		}
		if err := encoder.Encode(&s[i]); err != nil {
			return err
		}
		piece.Truncate(piece.Len() - 1) // the line's end
		if piece.Len() < pieceSize {
			continue
		}
		if _, err := piece.WriteTo(w); err != nil {
			return err
		}
	}
	piece.WriteString("]\n")
	_, err := piece.WriteTo(w)
	return err
}
