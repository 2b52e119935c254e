package control

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/ssmd-project/ssmd/membership"
)

// Problem is an error that the daemon answered with: a problem detail
// (RFC 9457, section 3.1). As an error it reads as its detail. errors.Is finds
// membership.ErrNotFound, ErrNoInterface, ErrNotApproved, ErrPutOff, ErrNoEvent and
// ErrStopped, and ErrNoAdoption, in the problems that stand for them.
type Problem struct {
	Type   string `json:"type"` // one of the Type constants
	Title  string `json:"title"`
	Status int    `json:"status"` // the HTTP status
	Detail string `json:"detail,omitempty"`

	// Errors is all that is wrong, key by key, in TypeInvalid and
	// TypeInvalidConfig.
	Errors []Flaw `json:"errors,omitempty"`
}

// The types of problems, by which a program tells them apart. They are tag
// URIs (RFC 4151): names, not places.
const (
	TypeBlank        = "about:blank" // nothing more than the HTTP status says
	TypeNoMembership = "tag:ssmd-project.github.io,2026:no-such-membership"
	TypeNoInterface  = "tag:ssmd-project.github.io,2026:no-such-interface"
	TypeNotApproved  = "tag:ssmd-project.github.io,2026:not-approved"
	TypePutOff       = "tag:ssmd-project.github.io,2026:put-off"
	TypeStopped      = "tag:ssmd-project.github.io,2026:stopped"
	TypeBusy         = "tag:ssmd-project.github.io,2026:busy"
	TypeInvalid      = "tag:ssmd-project.github.io,2026:invalid-membership"
	TypeFixed        = "tag:ssmd-project.github.io,2026:fixed-membership"
	TypeForbidden    = "tag:ssmd-project.github.io,2026:forbidden"
	TypeNoEvent      = "tag:ssmd-project.github.io,2026:no-such-event"

	TypeNoAdoption = "tag:ssmd-project.github.io,2026:no-such-adoption"
	TypeNotAdopted = "tag:ssmd-project.github.io,2026:not-adopted"

	TypeInvalidConfig = "tag:ssmd-project.github.io,2026:invalid-configuration"
	TypeNoReload      = "tag:ssmd-project.github.io,2026:nothing-to-reload"
)

// Error returns the detail, or the title where there is none.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return fmt.Sprintf("%d %s", p.Status, p.Title)
}

// Is makes errors.Is find the manager's errors across the socket.
func (p *Problem) Is(target error) bool {
	return p.Type == TypeNoMembership && target == membership.ErrNotFound ||
		p.Type == TypeNoInterface && target == membership.ErrNoInterface ||
		p.Type == TypeNotApproved && target == membership.ErrNotApproved ||
		p.Type == TypePutOff && target == membership.ErrPutOff ||
		p.Type == TypeNoEvent && target == membership.ErrNoEvent ||
		p.Type == TypeNoAdoption && target == ErrNoAdoption ||
		p.Type == TypeStopped && target == membership.ErrStopped
}

// blank is a problem that the HTTP status says all about (RFC 9457, section
// 4.2.1: its title is the status phrase).
func blank(status int, detail string) *Problem {
	return &Problem{Type: TypeBlank, Title: http.StatusText(status), Status: status, Detail: detail}
}

// busy is a problem that passes by itself.
func busy(title, detail string) *Problem {
	return &Problem{Type: TypeBusy, Title: title, Status: http.StatusServiceUnavailable, Detail: detail}
}

// forbidden answers whoever may not do what he asks for.
func forbidden(detail string) *Problem {
	return &Problem{Type: TypeForbidden, Title: "Not allowed", Status: http.StatusForbidden, Detail: detail}
}

// problemOf turns what the manager answered into a problem.
func problemOf(err error) *Problem {
	switch {
	case errors.Is(err, membership.ErrNotFound):
		return &Problem{Type: TypeNoMembership, Title: "No such membership", Status: http.StatusNotFound, Detail: err.Error()}
	case errors.Is(err, membership.ErrNoInterface):
		return &Problem{Type: TypeNoInterface, Title: "No such interface", Status: http.StatusNotFound, Detail: err.Error()}
	case errors.Is(err, membership.ErrNotApproved):
		return &Problem{Type: TypeNotApproved, Title: "Not approved", Status: http.StatusConflict, Detail: err.Error()}
	case errors.Is(err, membership.ErrPutOff):
		return &Problem{Type: TypePutOff, Title: "Put off", Status: http.StatusConflict, Detail: err.Error()}
	case errors.Is(err, membership.ErrNoEvent):
		return &Problem{Type: TypeNoEvent, Title: "No such event", Status: http.StatusNotFound, Detail: err.Error()}
	case errors.Is(err, ErrNoAdoption):
		return &Problem{Type: TypeNoAdoption, Title: "No such adoption", Status: http.StatusNotFound, Detail: err.Error()}
	case errors.Is(err, errBadRequest):
		return blank(http.StatusBadRequest, err.Error())
	case errors.Is(err, membership.ErrStopped):
		return &Problem{Type: TypeStopped, Title: "The daemon is ending", Status: http.StatusServiceUnavailable, Detail: "the daemon is ending"}
	case errors.Is(err, errSlowManager):
		return busy("Busy", err.Error())
	}
	if invalid, ok := errors.AsType[*InvalidError](err); ok {
		return &Problem{Type: TypeInvalid, Title: "Invalid membership", Status: http.StatusBadRequest, Detail: invalid.Error(), Errors: invalid.Flaws}
	}
	if fixed, ok := errors.AsType[*FixedError](err); ok {
		return &Problem{Type: TypeFixed, Title: "Not to be changed here", Status: http.StatusConflict, Detail: fixed.Error()}
	}
	if not, ok := errors.AsType[*NotAdoptedError](err); ok {
		return &Problem{Type: TypeNotAdopted, Title: "Not adopted", Status: http.StatusConflict, Detail: not.Error()}
	}
	if wrong, ok := errors.AsType[*ConfigError](err); ok {
		return &Problem{Type: TypeInvalidConfig, Title: "Invalid configuration", Status: http.StatusConflict, Detail: wrong.Error(), Errors: wrong.Errors}
	}
	if none, ok := errors.AsType[*NoReloadError](err); ok {
		return &Problem{Type: TypeNoReload, Title: "Nothing to reload", Status: http.StatusConflict, Detail: none.Error()}
	}
	if problem, ok := errors.AsType[*Problem](err); ok {
		return problem
	}
	return blank(http.StatusInternalServerError, err.Error())
}

// ProblemOf turns an error into the problem that a client is told: that of the
// control API, which other endpoints of a daemon tell too.
func ProblemOf(err error) *Problem { return problemOf(err) }
