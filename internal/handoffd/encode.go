package handoffd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// placeholder stands for the name while a request that says none is read, and for
// the file in errors.
const placeholder = "request"

// parse reads a request. Its name is empty where it says none.
func (s *session) parse(body []byte) (membership.Membership, error) {
	m, err := parseRequest(body, s.options.Parse)
	m.Socket, m.Keep = s.socket, membership.KeepAtEnd
	return m, err
}

func parseRequest(body []byte, parse func(name string, entry []byte) (membership.Membership, error)) (membership.Membership, error) {
	var named struct{ Name *string }
	if err := json.Unmarshal(body, &named); err != nil {
		return membership.Membership{}, &control.InvalidError{Err: fmt.Errorf("want a membership as a JSON object: %w", err)}
	}
	m, err := parse(placeholder, asYAML(body))
	switch {
	case err != nil:
		return m, err
	case m.Namespace != "":
		return m, invalid("netns", "given with a socket, which has its own already; want none")
	case m.Rules.Attach == reattach.AttachAll:
		return m, invalid("attach", "all, want one: a socket is joined on one interface at a time")
	}
	if named.Name == nil {
		m.Name = ""
	}
	return m, nil
}

func invalid(path, message string) error {
	return &control.InvalidError{Err: fmt.Errorf("%s: %s", path, message), Flaws: []control.Flaw{{Path: path, Message: message}}}
}

// errTooLong stands for a message that nobody could read.
var errTooLong = errors.New("longer than a message may be")

// encode returns a message, with its words cut short where it would be too long.
func encode(object any) []byte {
	data, err := tryEncode(object)
	if err == nil {
		return data
	}
	const most = 1000
	switch o := object.(type) {
	case handoff.Answer:
		o.Membership.Reason = shorten(o.Membership.Reason, most)
		object = o
	case handoff.Refused:
		p := *o.Problem
		p.Detail, p.Errors = shorten(p.Detail, most), p.Errors[:min(len(p.Errors), 10)]
		object = handoff.Refused{Type: o.Type, Problem: &p}
	case membership.Event:
		o.Reason = shorten(o.Reason, most)
		object = o
	}
	data, err = tryEncode(object)
	if err != nil {
		problem := &control.Problem{Type: control.TypeBlank, Title: "Internal Server Error", Status: 500, Detail: err.Error()}
		data, _ = tryEncode(handoff.Refused{Type: handoff.TypeRefused, Problem: problem})
	}
	return data
}

func tryEncode(object any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil {
		return nil, err
	}
	if out.Len() > handoff.MaxMessage {
		return nil, errTooLong
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}
