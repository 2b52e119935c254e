package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

const pageAddress = "http://127.0.0.1:9781/"

// startPage starts a daemon with the status page on a file.
func startPage(t *testing.T, program, file string) (d *daemon, dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes seconds, and nothing of it is ours")
	}
	l := newLab(t, v4)
	dir = openDir(t)
	ok(t, os.WriteFile(filepath.Join(dir, "ssmd.yaml"), []byte("http: {listen: 127.0.0.1:9781, status: true}\n"+file), 0o644))
	return startDaemon(l, program, dir, nil), dir
}

// What the page says of its connection, in its head and where all see it.
const (
	isLive  = `document.getElementById('connection').dataset.state === 'live' && document.getElementById('stale').hidden`
	isStale = `document.getElementById('connection').dataset.state === 'stale' && !document.getElementById('stale').hidden`
)

func rowState(name, state string) string {
	return fmt.Sprintf(`document.getElementById('m-%s')?.querySelector('.state').textContent === %q`, name, state)
}

// The page shows how an interface ends and comes back, as it happens, and what
// it shows while the daemon is not there it calls stale.
func storyPage(t *testing.T, program string) {
	t.Parallel()
	d, dir := startPage(t, program, "memberships:\n  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: eth0}\n  - {name: other, channels: 10.1.0.1@232.1.1.2, interface: eth7}\n")
	d.await(inState(membership.StateJoined))
	p := openBrowser(t, d.Near).open(pageAddress)
	p.until(isLive)
	p.until(rowState("feed", "joined"))
	p.until(rowState("other", "waiting"))
	p.shows("eth0: 1 life, instance")
	p.until(`document.querySelectorAll('#timeline rect.attached').length === 1`)
	p.until(`document.querySelector('#m-feed .reason').clientWidth > 150`) // also in a window that is not wide

	ok(t, d.Cut("eth0"))
	p.until(rowState("feed", "detached"))
	p.shows("eth0: 1 life, gone since")
	p.until(`document.querySelectorAll('#timeline rect.detached').length === 1`)
	p.until(`document.getElementById('news').textContent === 'feed is detached'`)
	ok(t, d.Connect(testnet.Veth{}))
	p.until(rowState("feed", "joined"))
	p.shows("eth0: 2 lives, instance")
	p.until(`document.querySelectorAll('#timeline rect.life').length === 2 && document.querySelectorAll('#timeline rect.attached').length === 2 && document.querySelectorAll('#timeline rect.reattached').length === 1`)
	p.until(`import('/page/text.js').then(m => m.rate({datagrams: 1234.4, bytes: 125000, stalled: 0}) === '1,234/s, 1.0 Mbit/s')`)
	p.until(`import('/page/text.js').then(m => m.rate({datagrams: 0, bytes: 0, stalled: 2}) === '2 streams stalled; 0/s, 0.0 kbit/s')`)
	p.until(`import('/page/text.js').then(m => m.rate({datagrams: 0, bytes: 0, stalled: 0, unheard: 1}) === 'not monitored')`)
	p.picture("page")

	d.signal(os.Kill)
	d.ended()
	p.until(isStale)
	p.shows("What is shown is from before")
	startDaemon(d.lab, program, dir, nil).await(inState(membership.StateJoined))
	p.until(isLive)
	p.shows("eth0: 1 life, instance") // the new daemon knows of no other
}

// Whichever daemon answers, the page goes on by itself and shows what that one
// knows; where none answers it says so.
func storyPageTakenOver(t *testing.T, program string) {
	t.Parallel()
	const feed, gone, comes = "  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: eth0}\n", "  - {name: gone, channels: 10.1.0.1@232.1.1.2, interface: eth0}\n",
		"  - {name: comes, channels: 10.1.0.1@232.1.1.3, interface: eth7}\n"
	first, dir := startPage(t, program, "memberships:\n"+feed+gone)
	first.await(inState(membership.StateJoined))
	p := openBrowser(t, first.Near).open(pageAddress)
	p.until(isLive)
	p.until(rowState("gone", "joined"))
	p.value(`window.untouched = true; window.seen = []; new MutationObserver(() => seen.push(document.getElementById('connection').dataset.state))
		.observe(document.getElementById('connection'), {attributes: true})`)

	write(t, filepath.Join(dir, "ssmd.yaml"), "http: {listen: 127.0.0.1:9781, status: true}\nmemberships:\n"+feed+comes)
	second := successor(first.lab, program, dir)
	if code := first.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	second.await(inState(membership.StateJoined))
	p.until(isLive)
	p.until(rowState("comes", "waiting"))
	p.until(rowState("feed", "joined"))
	p.until(`!document.getElementById('m-gone') && document.getElementById('shown').textContent === '2 memberships'`)
	p.until(`seen.includes('stale') && seen.at(-1) === 'live'`)
	ok(t, second.Cut("eth0"))
	p.until(rowState("feed", "detached"))

	// One that hangs says nothing: the page's clock is put forward, so that it
	// counts as gone now.
	second.stop()
	p.value(`(() => { const now = Date.now; Date.now = () => now() + 60_000; })()`)
	p.until(isStale)
	ok(t, second.Connect(testnet.Veth{}))
	second.cont()
	p.until(isLive)
	p.until(rowState("feed", "joined"))

	// A page of one membership goes on too.
	p.value(`location.hash = '#m=feed'`)
	p.shows("Every interface against every rule")
	second.signal(unix.SIGTERM)
	if code := second.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.until(isStale)
	ok(t, second.Cut("eth0"))
	third := startDaemon(second.lab, program, dir, nil)
	third.await(inState(membership.StateDetached))
	p.until(isLive)
	p.until(`document.querySelector('#detail .facts .state').textContent === 'detached'`)
	if p.value(`window.untouched`) != true {
		t.Error("the page was loaded anew")
	}
}

// What was told and is not drawn yet does not disturb what is drawn for another
// reason: the page's frames are held back while a membership goes and the list
// is given another size.
func storyPageBetweenFrames(t *testing.T, program string) {
	t.Parallel()
	const feed, gone = "  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: eth0}\n", "  - {name: gone, channels: 10.1.0.1@232.1.1.2, interface: eth0}\n"
	d, dir := startPage(t, program, "memberships:\n"+feed+gone)
	p := openBrowser(t, d.Near).open(pageAddress)
	p.until(rowState("gone", "joined"))
	p.value(`(() => { window.frame = requestAnimationFrame; window.held = []; window.requestAnimationFrame = (f) => held.push(f); })()`)
	write(t, filepath.Join(dir, "ssmd.yaml"), "http: {listen: 127.0.0.1:9781, status: true}\nmemberships:\n"+feed)
	if _, err := d.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.until(`held.length > 0`)
	p.value(`(() => { document.getElementById('list').style.height = '70px'; return new Promise((drawn) => frame(() => frame(drawn))); })()`)
	p.until(rowState("gone", "joined"))
	p.value(`(() => { window.requestAnimationFrame = frame; for (const f of held) frame(f); })()`)
	p.until(`!document.getElementById('m-gone') && document.getElementById('shown').textContent === '1 membership'`)
}

// All can be done with the keyboard, and on a phone in the dark.
func storyPageKeys(t *testing.T, program string) {
	t.Parallel()
	d, _ := startPage(t, program, "memberships:\n  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: eth0}\n  - {name: gone-a, channels: 10.1.0.1@232.1.1.2, interface: eth8}\n  - {name: gone-b, channels: 10.1.0.1@232.1.1.3, interface: eth8}\n")
	p := openBrowser(t, d.Near).open(pageAddress)
	p.until(rowState("feed", "joined"))
	selected := `document.querySelector('[aria-selected=true]')?.id`
	for _, step := range []struct{ key, want string }{{"j", "m-feed"}, {"j", "m-gone-a"}, {"ArrowDown", "m-gone-b"}, {"ArrowDown", "m-gone-b"}, {"k", "m-gone-a"}, {"End", "m-gone-b"}, {"Home", "m-feed"}} {
		p.press(step.key)
		if got := p.value(selected); got != step.want {
			t.Errorf("after %s %v is selected, want %s", step.key, got, step.want)
		}
		if got := p.value(`document.getElementById('list').getAttribute('aria-activedescendant')`); got != step.want {
			t.Errorf("after %s the reader is told %v", step.key, got)
		}
	}
	if v := p.value(`document.activeElement.id === 'list' && getComputedStyle(document.querySelector('[aria-selected=true]')).outlineStyle`); v != "solid" {
		t.Errorf("the focus is not to be seen: %v", v)
	}
	p.press("/")
	p.until(`document.activeElement.id === 'search'`)
	p.enter("GONE-b")
	p.until(`document.querySelectorAll('.row').length === 1 && document.getElementById('shown').textContent === '1 of 3 memberships'`)
	p.press("Enter")
	p.press("Enter")
	p.until(`location.hash === '#m=gone-b' && document.activeElement.id === 'detail'`)
	p.shows("Every interface against every rule")
	p.shows("eth8")
	p.press("Escape")
	p.until(`!document.getElementById('overview').hidden && document.activeElement.id === 'list'`)
	p.press("/")
	p.press("Escape")
	p.until(`document.querySelectorAll('.row').length === 3`)
	p.value(`document.querySelector('#states .waiting').click()`)
	p.until(`document.querySelectorAll('.row').length === 2 && document.querySelector('#states .waiting').getAttribute('aria-pressed') === 'true'`)

	p.do("Emulation.setDeviceMetricsOverride", params{"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true})
	p.do("Emulation.setEmulatedMedia", params{"features": []params{{"name": "prefers-color-scheme", "value": "dark"}}})
	p.until(`getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 26)'`)
	for hash, text := range map[string]string{"#": "Interfaces over time", "#m=feed": "wanted"} {
		p.value(fmt.Sprintf(`location.hash = %q`, hash))
		p.until(fmt.Sprintf(`document.body.textContent.includes(%q)`, text))
		p.until(`document.documentElement.scrollWidth <= 360`)
		p.picture("phone" + strings.Trim(hash, "#="))
	}
	// Fingers need room, and eyes contrast.
	p.value(`location.hash = '#'`)
	p.until(`[...document.querySelectorAll('button, select, input')].filter(e => e.offsetParent).every(e => e.offsetHeight >= 44)`)
}

// Whatever an interface is called, it is text.
func storyPageHostile(t *testing.T, program string) {
	t.Parallel()
	const name, alias = "<b>&'\"", "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e"
	d, _ := startPage(t, program, "memberships:\n  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: {kind: ifb}}\n  - {name: by-alias, channels: 10.1.0.1@232.1.1.2, interface: {alias: '<svg onload=alert(3)>'}}\n")
	ok(t, d.Near.Add(testnet.IFB(name), testnet.Alias(alias), testnet.MulticastOn, testnet.Up))
	d.await(inState(membership.StateJoined))
	p := openBrowser(t, d.Near).open(pageAddress)
	p.until(rowState("feed", "joined"))
	p.shows(name + ": 1 life")
	p.value(`location.hash = '#m=by-alias'`)
	p.shows("<svg onload=alert(3)>")
	p.value(`document.querySelectorAll('details').forEach(d => { d.open = true; })`)
	p.shows(`<script>alert(2)</script>\u{202e}`)
	p.value(`location.hash = '#m=' + encodeURIComponent('<img src=x onerror=alert(4)>')`)
	p.shows(`<img src=x onerror=alert(4)>`)
	p.value(`location.hash = '#m=100%'`) // is no encoding
	p.shows(`"100%"`)
	if n := p.value(`document.querySelectorAll('b:not(.result), img, script:not([src]), svg[onload]').length`); n != 0.0 {
		t.Errorf("%v elements are of somebody else's making", n)
	}
	p.do("Page.navigate", params{"url": pageAddress + "plain"})
	p.shows(name)
	// What the page's policy is for: markup that a mistake would make does nothing.
	if v, err := p.evaluate(`try { document.body.innerHTML = '<b>x</b>'; 'made' } catch (e) { e.name }`); err != nil || v != "TypeError" {
		t.Errorf("markup can be made of text: %v, %v", v, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = nil // the last was refused, and said so
}

// Ten thousand memberships are shown at once, and searched, and each change is
// seen; the document holds only what is in view.
func storyPageMany(t *testing.T, program string) {
	t.Parallel()
	const many = 10_000
	var file strings.Builder
	file.WriteString("memberships:\n")
	for i := range many {
		name := "eth9"
		if i%10 == 0 {
			name = "eth0"
		}
		fmt.Fprintf(&file, "  - {name: feed%s, channels: 10.1.0.1@232.1.%d.%d, interface: %s}\n", map[bool]string{true: "", false: fmt.Sprintf("-%05d", i)}[i == 0], i/250, i%250, name)
	}
	d, _ := startPage(t, program, file.String())
	d.await(inState(membership.StateJoined))
	before := d.memory()
	p := openBrowser(t, d.Near).open(pageAddress)
	p.until(`document.getElementById('shown')?.textContent === '10,000 memberships'`)
	t.Logf("shown %.0f ms after the page was asked for", p.value(`performance.now()`))
	p.until(`document.querySelector('#states .joined').textContent === '1,000 joined'`)
	if n := p.value(`document.querySelectorAll('.row').length`).(float64); n < 10 || n > 60 {
		t.Errorf("%.0f rows are in the document, want those in view", n)
	}
	t.Logf("the browser's heap has %.1f MB; the daemon grew from %d to %d kB", p.value(`performance.memory.usedJSHeapSize / 1e6`), before, d.memory())
	p.value(`document.getElementById('search').focus()`)
	p.enter("09990")
	p.until(`document.querySelectorAll('.row').length === 1`)
	took := p.value(`(() => { const t = performance.now(); const s = document.getElementById('search'); s.value = 'feed-0'; s.dispatchEvent(new Event('input')); return performance.now() - t; })()`)
	t.Logf("a search takes %.1f ms", took)
	p.value(`(() => { const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input')); })()`)
	p.value(`window.frames = []; (function next(t) { window.frames.push(t); requestAnimationFrame(next); })(performance.now())`)
	ok(t, d.Cut("eth0"))
	p.until(`document.querySelector('#states .detached').textContent === '1,000 detached'`)
	p.until(rowState("feed", "detached"))
	ok(t, d.Connect(testnet.Veth{}))
	p.until(`document.querySelector('#states .joined').textContent === '1,000 joined'`)
	t.Logf("the longest frame took %.0f ms", p.value(`Math.max(...window.frames.slice(1).map((t, i) => t - window.frames[i]))`))
	p.value(`document.getElementById('happened').open = true`)
	p.until(`/reattached 1,000 memberships on eth0/.test(document.getElementById('marks').textContent)`)
	p.until(`document.querySelectorAll('#marks li').length < 40`)
	p.picture("many")
}

// memory returns the daemon's resident memory in kB.
func (d *daemon) memory() (kB int) {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	ok(d.t, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscan(rest, &kB)
	ok(d.t, err)
	return kB
}
