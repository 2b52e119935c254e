package integration

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// eventsARound are changes of an interface that nobody wants, each of which
// finds the daemon asleep.
const (
	eventsARound = 1000
	eventPace    = 500 * time.Microsecond
)

// unwanted makes an interface that nobody wants.
func unwanted(b *testing.B, near *testnet.Namespace) netlink.Link {
	b.Helper()
	ok(b, near.Add(testnet.Bridge("br0"), testnet.Up))
	link, err := near.Netlink.LinkByName("br0")
	ok(b, err)
	return link
}

// cpuPerEvent is the processor time that a program spends on such a change.
func (p *program) cpuPerEvent(near *testnet.Namespace, link netlink.Link) time.Duration {
	p.b.Helper()
	tick := time.NewTicker(eventPace)
	defer tick.Stop()
	before := p.cpu()
	for i := range eventsARound {
		<-tick.C
		ok(p.b, near.Netlink.LinkSetAlias(link, fmt.Sprint(i%2)))
	}
	time.Sleep(10 * eventPace) // the last one is dealt with
	return (p.cpu() - before) / eventsARound
}

// BenchmarkLinkEvent measures the processor time of an event that concerns no
// membership.
func BenchmarkLinkEvent(b *testing.B) {
	daemon := func(channels int) func() subject {
		return func() subject {
			near := namespaceWithEth0(b)
			s := serve(b, near, oneMembership(channels))
			link := unwanted(b, near)
			return subject{
				round: func() time.Duration { return s.cpuPerEvent(near, link) },
				end:   func() { s.end(); near.Close() },
			}
		}
	}
	contender := func(kind string) func() subject {
		return func() subject {
			near := namespaceWithEth0(b)
			c := startContender(b, near, kind, v4Load(10).args("eth0")...)
			link := unwanted(b, near)
			return subject{
				round: func() time.Duration { return c.cpuPerEvent(near, link) },
				end:   func() { c.end(); near.Close() },
			}
		}
	}
	took := measure(b, 1, daemon(100_000), daemon(10), contender(kindBare), contender(kindGo))
	within := goal{"10 µs", 10e-6}
	absolute(b, placeEvent, "processor time of an unrelated link event, 100,000 channels held", took[0], took[2], seconds, within)
	absolute(b, placeEvent, "the same, 10 channels held", took[1], took[2], seconds, within)
	absolute(b, placeEvent, "— a program in Go that only reads netlink, in the place of ssmd", took[3], took[2], seconds, goal{})
}

const unwantedLinks = 10_000

// churn makes links that nobody wants, one by one, and deletes them all at once,
// which tells of them in one burst.
func churn(b *testing.B, near *testnet.Namespace) {
	b.Helper()
	const group = 7
	for i := range unwantedLinks {
		link := testnet.IFB(fmt.Sprint("none", i))
		link.Attrs().Group = group
		ok(b, near.Netlink.LinkAdd(link))
	}
	deletion := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	deletion.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	deletion.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(group)))
	ok(b, near.Do(func() error {
		_, err := deletion.Execute(unix.NETLINK_ROUTE, 0)
		return err
	}))
}

// caughtUp waits until the daemon knows of a change that is made now.
func (s *served) caughtUp(mark string) {
	s.b.Helper()
	ok(s.b, s.near.Set("lo", testnet.Alias(mark)))
	ok(s.b, testnet.Eventually(s.context(), func() error {
		all, err := s.client.Interfaces(s.context())
		if err == nil && !slices.ContainsFunc(all, func(i membership.InterfaceStatus) bool { return i.Alias == mark }) {
			err = errors.New("the daemon lags behind")
		}
		return err
	}))
}

// withMetrics has a file's daemon tell its metrics, in its own namespace.
func withMetrics(file string) string {
	return fmt.Sprintf("http: {listen: %q}\n%s", metricsAt, file)
}

// scrape asks for the metrics as Prometheus does.
func (s *served) scrape() []byte {
	s.b.Helper()
	request, err := http.NewRequestWithContext(s.context(), http.MethodGet, "http://"+metricsAt+"/metrics", nil)
	ok(s.b, err)
	answer, err := clientIn(s.near).Do(request)
	ok(s.b, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	ok(s.b, err)
	if answer.StatusCode != http.StatusOK {
		s.b.Fatalf("%s: %s", answer.Status, text)
	}
	return text
}

// BenchmarkLinkChurn has 10,000 links come and go while nobody wants them.
func BenchmarkLinkChurn(b *testing.B) {
	var overruns, dumps []string
	took := measure(b, 1, func() subject {
		near := namespaceWithEth0(b)
		s := serve(b, near, withMetrics(oneMembership(10)))
		return subject{
			round: func() time.Duration {
				before := s.cpu()
				churn(b, near)
				s.caughtUp("after the churn")
				perLink := (s.cpu() - before) / unwantedLinks
				metrics := s.scrape()
				overruns = append(overruns, fmt.Sprint(field(b, metrics, "ssmd_netlink_overruns_total ")))
				dumps = append(dumps, fmt.Sprint(field(b, metrics, "ssmd_netlink_events_total{type=\"newlink\"} ")))
				return perLink
			},
			end: func() { s.end(); near.Close() },
		}
	})
	absolute(b, placeLinks, "10,000 links created one by one, then deleted at once, while nobody wants them: processor time of a link", took[0], nil, seconds, goal{})
	record(row{place: placeLinks, what: "— overruns in each start", ssmd: strings.Join(overruns, ", "), target: "none, or one dump",
		more: "link messages read: " + strings.Join(dumps, ", ")})
}
