package integration

import (
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// Fact K26 as a membership shows it: with an IGMPv2 querier no source is on the
// wire, and an announcement is heard as a leave and a join. The reasons say so.
func TestStoryQuerierOfVersion2(t *testing.T) {
	t.Parallel()
	s := auditedStage(t, v4)
	ok(t, s.Far.Ask("far0", testnet.QueryV2))
	s.wait("feed", membership.StateJoined, "IGMPv2 is spoken", "no source")
	s.hears(s.fed())
	s.heard(0, wire.V2Report) // the answer to the query
	from := len(s.capture.Reports())
	ok(t, s.manager.Reannounce(s.ctx, "feed"))
	e := s.events.wait(t, membership.EventReannounced, membership.CauseRequest)
	if !strings.Contains(e.Reason, "by IGMPv2") {
		t.Errorf("told %+v", e)
	}
	leave := s.heard(from, wire.V2Leave)
	report := s.heard(from, wire.V2Report)
	if !report.Time.After(leave.Time) {
		t.Errorf("the report, %s, is before the leave, %s", report.Time, leave.Time)
	}
	s.hears(s.fed())
	s.wantUsers(1)
}

// heard waits for what IGMPv2 says of the channel's group, behind the first
// from.
func (s *stage) heard(from int, kind wire.RecordType) wire.Report {
	s.t.Helper()
	r, err := s.capture.WaitFrom(s.ctx, from, func(r wire.Report) bool {
		return r.Type == kind && r.Group == s.channel.group && len(r.Sources) == 0
	})
	ok(s.t, err)
	return r
}
