package importer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/config"
)

// told is what a file comes to, a line for each feed and each flaw.
func told(feeds []Feed, flaws []Flaw) []string {
	var all []string
	var names Names
	for _, f := range feeds {
		var channels []string
		for _, c := range f.Channels {
			channels = append(channels, c.String())
		}
		all = append(all, fmt.Sprintf("%s leg %d: %s", names.Next(f), f.Leg, strings.Join(channels, " ")))
	}
	for _, f := range flaws {
		all = append(all, fmt.Sprintf("%d: %s", f.Line, f.Reason))
	}
	return all
}

// head is what each description begins with.
const head = "v=0\no=- 1 1 IN IP4 10.9.9.9\ns=Cam 1\nt=0 0\n"

func TestDescriptions(t *testing.T) {
	tests := map[string]struct {
		text    string
		options Options
		want    []string
	}{
		"RFC 4570, section 3.2.1": {
			text: head + "c=IN IP4 224.2.1.1/127/3\na=source-filter: incl IN IP4 224.2.1.1 192.0.2.10\nm=video 5000 RTP/AVP 96\n",
			want: []string{"Cam-1-video leg 0: 192.0.2.10@224.2.1.1 192.0.2.10@224.2.1.2 192.0.2.10@224.2.1.3"},
		},
		"ST 2110-20 with ST 2022-7": {
			text: "v=0\r\no=- 1443716955 1443716955 IN IP4 192.168.1.1\r\ns=SMPTE ST2110-20 narrow gap 7.2.10\r\nt=0 0\r\na=group:DUP primary secondary\r\n" +
				"m=video 50000 RTP/AVP 112\r\nc=IN IP4 239.100.9.10/32\r\na=source-filter:incl IN IP4 239.100.9.10 192.168.100.2\r\na=rtpmap:112 raw/90000\r\na=fmtp:112 sampling=YCbCr-4:2:2; width=1280; PM=2110GPM; \r\na=ts-refclk:ptp=IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:37\r\na=mid:primary\r\n" +
				"m=video 50000 RTP/AVP 112\r\nc=IN IP4 239.101.9.10/32\r\na=source-filter: incl IN IP4 239.101.9.10 192.168.101.2\r\na=mid:secondary\r\n",
			want: []string{"SMPTE-ST2110-20-narrow-gap-7.2.10-primary leg 0: 192.168.100.2@239.100.9.10", "SMPTE-ST2110-20-narrow-gap-7.2.10-secondary leg 1: 192.168.101.2@239.101.9.10"},
		},
		"duplicates from two sources to one group": {
			text: head + "m=audio 5004 RTP/AVP 97\ni=8 channels\nc=IN IP4 232.3.3.3/32\na=source-filter: incl IN IP4 232.3.3.3 10.1.0.1 10.2.0.1\na=ssrc-group:DUP 1 2\n",
			want: []string{"Cam-1-8-channels leg 0: 10.1.0.1@232.3.3.3 10.2.0.1@232.3.3.3"},
		},
		"every group of a session, IPv6 layers": {
			text: head + "a=source-filter: incl IN IP6 * 2001:db8::1\nm=audio 5004 RTP/AVP 97\nc=IN IP6 ff3e::8000:1/2\nm=video 5006 RTP/AVP 98\nc=IN IP6 ff3e::8000:5\n",
			want: []string{"Cam-1-audio leg 0: 2001:db8::1@ff3e::8000:1 2001:db8::1@ff3e::8000:2", "Cam-1-video leg 0: 2001:db8::1@ff3e::8000:5"},
		},
		"addresses of both families": {
			text: head + "a=source-filter: incl IN * * 10.1.0.1 2001:db8::1\nm=audio 5004 RTP/AVP 97\nc=IN IP6 ff3e::8000:1\nc=IN IP4 232.1.1.1/32\n",
			want: []string{"Cam-1-audio leg 0: 2001:db8::1@ff3e::8000:1 10.1.0.1@232.1.1.1"},
		},
		"a medium's filter replaces the session's": {
			text: head + "c=IN IP4 232.1.1.1/32\na=source-filter: incl IN IP4 * 10.1.0.1\nm=audio 5004 RTP/AVP 97\nm=audio 5006 RTP/AVP 97\na=source-filter: incl IN IP4 232.1.1.1 10.1.0.2\n",
			want: []string{"Cam-1-audio leg 0: 10.1.0.1@232.1.1.1", "Cam-1-audio-2 leg 0: 10.1.0.2@232.1.1.1"},
		},
		"one layer": {
			text: head + "m=audio 5004 RTP/AVP 97\nc=IN IP4 232.1.1.1/32/4\na=source-filter: incl IN IP4 232.1.1.3 10.1.0.1\n",
			want: []string{"Cam-1-audio leg 0: 10.1.0.1@232.1.1.3"},
		},
		"several descriptions": {
			text: strings.Repeat(head+"c=IN IP4 232.1.1.1/32\na=source-filter: incl IN IP4 * 10.1.0.1\n", 2),
			want: []string{"Cam-1 leg 0: 10.1.0.1@232.1.1.1", "Cam-1-2 leg 0: 10.1.0.1@232.1.1.1"},
		},
		"AES67 without a filter": {
			text: head + "m=audio 5004 RTP/AVP 97\nc=IN IP4 239.69.1.1/32\n",
			want: []string{"5: no a=source-filter (RFC 4570) says who sends to 239.69.1.1; --origin takes the address in o=, if that is the sender's"},
		},
		"AES67 without a filter, its origin": {
			text:    head + "m=audio 5004 RTP/AVP 97\nc=IN IP4 239.69.1.1/32\n",
			options: Options{Origin: true},
			want:    []string{"Cam-1-audio leg 0: 10.9.9.9@239.69.1.1"},
		},
		"an origin of the other family": {
			text:    head + "m=audio 5004 RTP/AVP 97\nc=IN IP6 ff3e::8000:1\n",
			options: Options{Origin: true},
			want:    []string{"5: no a=source-filter (RFC 4570) says who sends to ff3e::8000:1, and o= has no address of its family"},
		},
		"excluded": {
			text:    head + "m=audio 5004 RTP/AVP 97\nc=IN IP4 232.1.1.1/32\na=source-filter: excl IN IP4 232.1.1.1 10.1.0.1\n",
			options: Options{Origin: true},
			want:    []string{"7: excl names who is not wanted, want incl: only who sends can be joined"},
		},
		"names of hosts": {
			text: head + "m=audio 5004 RTP/AVP 97\nc=IN IP4 232.1.1.1/32\na=source-filter: incl IN * dst.example.com src.example.com\nm=video 0 RTP/AVP 97\nc=IN IP4 group.example.com\n",
			want: []string{
				`7: "dst.example.com" is no IP address; a host name is not looked up, want its address`,
				`9: "group.example.com" is no IP address; a host name is not looked up, want its address`,
			},
		},
		"a filter of another group": {
			text: head + "m=audio 5004 RTP/AVP 97\nc=IN IP4 232.1.1.1/32\na=source-filter: incl IN IP4 232.1.1.2 10.1.0.1\n",
			want: []string{
				"5: no a=source-filter (RFC 4570) says who sends to 232.1.1.1; --origin takes the address in o=, if that is the sender's",
				"7: it is about what no c= line names",
			},
		},
		"odd lines": {
			text: head + "c=IN IP4 232.1.1.1/300\nnonsense\na=source-filter: only IN IP4 * 10.1.0.1\na=source-filter: incl\na=source-filter: incl IN IP5 * 10.1.0.1\nm=audio 5004 RTP/AVP 97\nc=IN IP4 232.1.1.1/32/5000\nm=video 1 RTP/AVP 1\nc=IN IP4 10.1.0.1\nm=text 1 RTP/AVP 1\nc=IN IP4 ff3e::1\nm=text 1 RTP/AVP 1\nc=ATM x\n",
			want: []string{
				`5: "300" behind the address, want a TTL (IPv4) and how many groups, at most 4096`,
				"6: no line of SDP, want for example c=IN IP4 232.1.1.1/32",
				`7: filter mode "only", want incl`,
				"8: want a=source-filter: incl IN IP4 GROUP SOURCE...",
				`9: address type "IP5", want IP4, IP6 or *`,
				`11: "5000" behind the address, want a TTL (IPv4) and how many groups, at most 4096`,
				"15: ff3e::1 is no address of the type IP4",
				"17: want IN, IP4 or IP6, and an address",
				"13: 10.1.0.1 is no multicast address: nothing is to be joined for it",
			},
		},
		"no address at all": {
			text: head + "m=audio 5004 RTP/AVP 97\n",
			want: []string{"5: no c= line says to which group it is sent"},
		},
		"a source that is none": {
			text: head + "m=audio 5004 RTP/AVP 97\nc=IN IP4 232.1.1.1/32\na=source-filter: incl IN IP4 232.1.1.1 239.1.1.1\n",
			want: []string{"7: channel 239.1.1.1@232.1.1.1: source 239.1.1.1 is not a unicast address"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, told(Parse("f", []byte(test.text), test.options))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPlaylist(t *testing.T) {
	const text = "\ufeff#EXTM3U\r\n" +
		"#EXTINF:-1 tvg-id=\"a,b\" group-title=\"News\",Nachrichten 24 (HD)\r\n#EXTVLCOPT:network-caching=1000\r\nrtp://10.1.0.1@232.1.1.1:5004\r\n\r\n" +
		"#EXTINF:-1,Six\nudp://[2001:db8::1]@[ff3e::8000:1]:1234\n" +
		"RTP://10.1.0.1@232.1.1.2\n" +
		"udp://239.1.1.1:5000?pkt_size=1316&sources=10.1.0.1,10.1.0.2\n" +
		"#EXTINF:-1,Any\nrtp://@239.1.1.1:5004\n" +
		"udp://239.1.1.1:5004\nhttp://example.com/a.ts\nrtp://ff3e::8000:1:5004\nrtp://2001:db8::1@[ff3e::8000:1]:5004\n" +
		"rtp://camera@232.1.1.1\nrtp://10.1.0.1@10.1.0.2:5004\nrtp://10.1.0.1@232.1.1.1:0\nudp://10.1.0.1@[232.1.1.1]\nrtp://[2001:db8::1]@232.1.1.1:5\nrtp://10.1.0.1@\n"
	want := []string{
		"Nachrichten-24-HD leg 0: 10.1.0.1@232.1.1.1",
		"Six leg 0: 2001:db8::1@ff3e::8000:1",
		"stream leg 0: 10.1.0.1@232.1.1.2",
		"stream-2 leg 0: 10.1.0.1@239.1.1.1 10.1.0.2@239.1.1.1",
		"11: any source may send here, which is not source-specific: want rtp://SOURCE@239.1.1.1:5004",
		"12: any source may send here, which is not source-specific: want udp://SOURCE@239.1.1.1:5004",
		"13: no multicast address, want for example rtp://10.1.0.1@232.1.1.1:5004",
		"14: no port from 1 to 65535 behind the last colon; IPv6 addresses stand in brackets",
		`15: source "2001:db8::1", want IPv6 addresses, and only these, in brackets`,
		`16: source "camera" is no IP address; a host name is not looked up, want its address`,
		"17: 10.1.0.2 is no multicast address: nothing is to be joined for it",
		"18: no port from 1 to 65535 behind the last colon; IPv6 addresses stand in brackets",
		`19: group "[232.1.1.1]", want IPv6 addresses, and only these, in brackets`,
		"20: channel 2001:db8::1@232.1.1.1: source and group of different families, want both IPv4 or both IPv6",
		"21: no group",
	}
	if diff := cmp.Diff(want, told(Parse("f", []byte(text), Options{}))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFlawNamesItsPlace(t *testing.T) {
	_, flaws := Parse("list.m3u", []byte("\n"+strings.Repeat("ä", 300)), Options{})
	want := "list.m3u:2: " + strings.Repeat("ä", 100) + "...: no multicast address, want for example rtp://10.1.0.1@232.1.1.1:5004"
	if len(flaws) != 1 || flaws[0].Error() != want {
		t.Errorf("got  %v\nwant %s", flaws, want)
	}
	for _, text := range []string{"", " \n\r\n"} {
		if _, flaws := Parse("f", []byte(text), Options{}); len(flaws) != 1 || flaws[0].Error() != "f: empty" {
			t.Errorf("%q: %v", text, flaws)
		}
	}
}

func TestNames(t *testing.T) {
	n := Names{Prefix: "tv."}
	var got []string
	for _, f := range []Feed{{}, {}, {Title: "..."}, {Title: "ä"}, {Title: "a/../b"}, {Title: "a ../ b"}, {Title: "a-..-b-2"}, {Title: "x", Kind: "1"}, {Title: strings.Repeat("y", 99)}} {
		got = append(got, n.Next(f))
	}
	want := []string{"tv.", "tv.-2", "tv....", "tv.-3", "tv.a-..-b", "tv.a-..-b-2", "tv.a-..-b-2-2", "tv.x-1", "tv." + strings.Repeat("y", 61)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var plain Names
	if got := plain.Next(Feed{Title: ".."}); got != "stream" {
		t.Errorf("dots alone become %q", got)
	}
}

// A few bytes cannot ask for much.
func TestBounds(t *testing.T) {
	filters := strings.Repeat("a=source-filter: incl IN IP4 * 10.1.0.1\n", 40)
	layers := strings.Repeat("c=IN IP4 232.1.1.1/32/4096\n", 40)
	media := strings.Repeat("m=a\n", maxMedia)
	none := strings.Repeat("a=source-filter: incl IN IP4 232.1.1.0 10.1.0.1\n", 40)
	for name, text := range map[string]string{
		"channels": head + filters + layers + media,
		"nothing":  head + none + layers + media,
		"flaws":    strings.Repeat("x\n", MaxSize/2),
		"groups":   head + strings.Repeat("a=group:DUP a b\n", 1000) + strings.Repeat("m=a\na=mid:b\n", 10_000),
		"media":    strings.Repeat(head+"m=a\n", 50_000),
		"size":     strings.Repeat("x", MaxSize+1),
	} {
		began := time.Now()
		feeds, flaws := Parse("f", []byte(text), Options{})
		channels := 0
		for _, f := range feeds {
			channels += len(f.Channels)
		}
		if channels > maxChannels || len(flaws) > maxFlaws+1 {
			t.Errorf("%s: %d channels, %d flaws", name, channels, len(flaws))
		}
		t.Logf("%s: %d channels, %d flaws, %s", name, channels, len(flaws), time.Since(began))
	}
}

// Whatever a file holds, what is made of it is a configuration.
func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "c=IN IP4 232.1.1.1/127/3\na=group:DUP a b\na=source-filter: incl IN IP4 * 10.1.0.1\nm=video 5000 RTP/AVP 96\na=mid:b\n"))
	f.Add([]byte(head + "m=video 5000 RTP/AVP 96\nc=IN IP6 ff3e::1/3\na=source-filter: excl IN * * 2001:db8::1 10.1.0.1\n"))
	f.Add([]byte("#EXTM3U\n#EXTINF:-1 tvg-id=\"a,b\",Title: 1e3\nrtp://[2001:db8::1]@[ff3e::8000:1]:5004\nudp://239.1.1.1:1?sources=10.1.0.1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, o := range []Options{{}, {Origin: true}} {
			feeds, flaws := Parse("f", data, o)
			var names Names
			var entries []Entry
			for _, feed := range feeds {
				entries = append(entries, Options{}.NewEntry(names.Next(feed), feed, map[string][]string{"name": {"eth0"}}))
			}
			if len(feeds) == 0 && len(flaws) == 0 && len(data) == 0 {
				t.Error("nothing is told of nothing")
			}
			text, err := YAML(entries)
			if err != nil {
				t.Fatal(err)
			}
			c, err := config.Parse("y", text)
			if err != nil || len(c.Memberships) != len(feeds) {
				t.Errorf("%d of %d feeds: %v in\n%s", len(c.Memberships), len(feeds), err, text)
			}
		}
	})
}

func TestMonitored(t *testing.T) {
	const channel = "c=IN IP4 232.1.1.1/32\na=source-filter: incl IN IP4 * 10.1.0.1\n"
	tests := map[string]struct {
		text string
		want *Monitor
		flaw string
	}{
		"its format's clock":     {text: head + "m=video 50000 RTP/AVP 112\na=rtpmap:113 raw/1\na=rtpmap:112 raw/90000\n" + channel, want: &Monitor{50000, true, 90000}},
		"channels behind it":     {text: head + "m=audio 5004 RTP/AVP 96\na=rtpmap:96 L24/48000/2\n" + channel, want: &Monitor{5004, true, 48000}},
		"a static payload type":  {text: head + "m=video 5004 RTP/AVPF 33\n" + channel, want: &Monitor{Port: 5004, RTP: true}},
		"the first of two ports": {text: head + "m=video 5004/2 RTP/AVP 33\n" + channel, want: &Monitor{Port: 5004, RTP: true}},
		"no RTP":                 {text: head + "m=video 5004 udp 33\na=rtpmap:33 MP2T/90000\n" + channel, want: &Monitor{Port: 5004}},
		"a rate of no sense":     {text: head + "m=video 5004 RTP/AVP 96\na=rtpmap:96 raw/x\n" + channel, want: &Monitor{Port: 5004, RTP: true}},
		"no media":               {text: head + channel, flaw: "no port to be monitored on"},
		"refused":                {text: head + "m=video 0 RTP/AVP 96\n" + channel, flaw: "no port to be monitored on"},
		"no port of sense":       {text: head + "m=video 70000 RTP/AVP 96\n" + channel, flaw: "no port to be monitored on"},
		"an address of RTP":      {text: "rtp://10.1.0.1@232.1.1.1:5004\n", want: &Monitor{Port: 5004, RTP: true}},
		"an address of UDP":      {text: "udp://10.1.0.1@232.1.1.1:5004\n", want: &Monitor{Port: 5004}},
		"without a port":         {text: "udp://10.1.0.1@232.1.1.1\n", flaw: "no port to be monitored on"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := Options{Monitor: true}
			feeds, flaws := Parse("f", []byte(test.text), o)
			if len(feeds) != 1 {
				t.Fatalf("%d feeds, %v", len(feeds), flaws)
			}
			var told []string
			for _, f := range flaws {
				told = append(told, f.Reason)
			}
			if got := strings.Join(told, "; "); got != test.flaw {
				t.Errorf("told %q, want %q", got, test.flaw)
			}
			if diff := cmp.Diff(test.want, o.NewEntry("x", feeds[0], nil).Monitor); diff != "" {
				t.Error(diff)
			}
			if unasked := (Options{}).NewEntry("x", feeds[0], nil).Monitor; unasked != nil {
				t.Errorf("%+v, unasked", unasked)
			}
		})
	}
}
