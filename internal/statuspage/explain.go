package statuspage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/ssmd-project/ssmd/membership"
)

// quote writes a string as JSON.
func quote(words string) string {
	quoted, _ := json.Marshal(words) // a string never fails
	return string(quoted)
}

// detail is the answer of GET /status/explain: the control API's explanation,
// with no more channels than a page can show, and what happened.
type detail struct {
	membership.Explanation
	ChannelsLeftOut int                `json:"channels_left_out"`
	Events          []membership.Event `json:"events"` // the newest first
}

// explain answers for one membership.
func (b *Board) explain(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), b.pause.answer)
	defer cancel()
	if err := b.ask(ctx); err != nil {
		refuse(w, err)
		return
	}
	defer b.asked()
	name := r.URL.Query().Get("name")
	explanation, err := b.options.Manager.Explain(ctx, name)
	if err != nil {
		refuse(w, err)
		return
	}
	d := detail{Explanation: explanation}
	if over := len(d.Channels) - b.limits.channels; over > 0 {
		slices.SortStableFunc(d.Channels, func(a, b membership.ChannelStatus) int { return rank(a) - rank(b) })
		d.Channels, d.ChannelsLeftOut = d.Channels[:b.limits.channels], over
	}
	if d.Events, err = b.eventsOf(ctx, name); err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(d) // the reader is gone
}

// ask waits for a turn to ask the manager: browsers that come all at once are
// answered one after the other.
func (b *Board) ask(ctx context.Context) error {
	select {
	case b.asking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("too much is asked for: %w", ctx.Err())
	}
}

func (b *Board) asked() { <-b.asking }

// rank puts what is not joined first.
func rank(c membership.ChannelStatus) int {
	switch {
	case c.Error != "":
		return 0
	case !c.Joined:
		return 1
	}
	return 2
}

// eventsOf returns the last events of one membership.
func (b *Board) eventsOf(ctx context.Context, name string) ([]membership.Event, error) {
	subscription, err := b.options.Past()
	if err != nil {
		return nil, err
	}
	defer subscription.Close()
	subscription.Finish()
	events := []membership.Event{}
	for {
		e, err := subscription.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			break // it was the last
		}
		if e.Membership != name {
			continue
		}
		if events = append(events, e); len(events) > b.limits.events {
			events = events[1:]
		}
	}
	slices.Reverse(events)
	return events, nil
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if errors.Is(err, membership.ErrNotFound) {
		status = http.StatusNotFound
	}
	http.Error(w, err.Error(), status)
}

// plain answers with a table, for whoever runs no scripts.
func (b *Board) plain(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), b.pause.answer)
	defer cancel()
	if err := b.ask(ctx); err != nil {
		refuse(w, err)
		return
	}
	defer b.asked()
	statuses, err := b.options.Manager.Status(ctx)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>ssmd</title>`+
		`<link rel="stylesheet" href="/page/page.css"><h1>ssmd: memberships</h1><table class="plain"><thead><tr>`+
		`<th scope="col">name<th scope="col">state<th scope="col">joined<th scope="col">interface<th scope="col">since (UTC)<th scope="col">reason<tbody>`)
	for _, s := range statuses {
		one := b.rowOf(s)
		fmt.Fprintf(w, "\n<tr><th scope=\"row\">%s<td>%s<td>%d/%d<td>%s<td>%s<td>%s", markup(one.Name), markup(string(one.State)),
			one.Joined, one.Channels, markup(one.Interfaces), s.Since.UTC().Format("2006-01-02 15:04:05"), markup(one.Reason))
	}
	fmt.Fprint(w, "\n</table></html>\n")
}

// markup returns words as a browser shows them.
func markup(words string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, words))
}
