package control

import (
	"context"
	"strings"

	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
)

// Monitor is what the server asks of what counts the streams, concurrently.
type Monitor interface {
	Status(ctx context.Context) (map[string]monitor.Status, error)
	StatusOf(ctx context.Context, name string) (*monitor.Status, error)
}

// Status is a membership as it stands, and how its streams come in where they are
// monitored.
type Status struct {
	membership.Status
	Monitor *monitor.Status `json:"monitor,omitempty"`
}

// AttachedTo lists the names of the interfaces it is attached to.
func (s Status) AttachedTo() string {
	names := make([]string, len(s.Attachments))
	for i, a := range s.Attachments {
		names[i] = a.Interface
	}
	return strings.Join(names, ",")
}

// Explanation is a status with every interface held against every rule.
type Explanation struct {
	Status     Status                            `json:"status"`
	Channels   []membership.ChannelStatus        `json:"channels"`
	Interfaces []membership.InterfaceExplanation `json:"interfaces"`
}

// withMonitors adds to each status what there is of its streams.
func (s *Server) withMonitors(ctx context.Context, statuses []membership.Status) (any, error) {
	if s.options.Monitor == nil {
		return stream[membership.Status](statuses), nil
	}
	monitors, err := s.options.Monitor.Status(ctx)
	if err != nil {
		return nil, err
	}
	if len(monitors) == 0 {
		return stream[membership.Status](statuses), nil
	}
	all := make(stream[Status], len(statuses))
	for i, one := range statuses {
		all[i].Status = one
		if m, ok := monitors[one.Name]; ok {
			all[i].Monitor = &m
		}
	}
	return all, nil
}

// withMonitor adds to a status what there is of its streams.
func (s *Server) withMonitor(ctx context.Context, status membership.Status) (Status, error) {
	all := Status{Status: status}
	if s.options.Monitor == nil {
		return all, nil
	}
	m, err := s.options.Monitor.StatusOf(ctx, status.Name)
	all.Monitor = m
	return all, err
}
