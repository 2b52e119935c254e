package integration

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// browser is a headless Chromium in a namespace, driven by the DevTools protocol
// over a pipe: there is no port that would have to be reached from another
// namespace, and nothing to install but Debian's chromium.
type browser struct {
	t     testing.TB
	where *testnet.Namespace
	write *os.File

	mu      sync.Mutex
	last    int
	waiting map[int]chan reply
	ended   bool
	wrong   []string // what scripts threw, and what the page's policy refused
}

// reply is a message from the browser.
type reply struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// openBrowser starts a browser that ends with the test, or skips the test where
// there is none.
func openBrowser(t testing.TB, where *testnet.Namespace) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil && os.Getenv("SSMD_NO_SKIP") == "1" {
		t.Fatalf("no browser: %v: install Debian's chromium", err)
	} else if err != nil {
		t.Skipf("no browser: %v: install Debian's chromium", err)
	}
	home := t.TempDir()
	theirs, ours, err := os.Pipe()
	ok(t, err)
	answers, tell, err := os.Pipe()
	ok(t, err)
	// The test's own namespaces are the sandbox, in which no other can be made.
	cmd := exec.Command(program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-extensions", "--user-data-dir="+home, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	cmd.ExtraFiles = []*os.File{theirs, tell} // 3 and 4, as the protocol has it
	ok(t, where.Start(cmd))
	ok(t, theirs.Close())
	ok(t, tell.Close())
	b := &browser{t: t, where: where, write: ours, waiting: make(map[int]chan reply)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(answers)
	}()
	t.Cleanup(func() {
		b.send("", "Browser.close", nil)
		_ = cmd.Wait() // how it ends says nothing
		<-read
		_ = ours.Close()
		_ = answers.Close()
		for _, w := range b.wrong {
			t.Errorf("the page: %s", w)
		}
	})
	return b
}

// read takes messages, each ended by a zero byte, until the browser ends.
func (b *browser) read(from io.Reader) {
	messages := bufio.NewReader(from)
	for {
		data, err := messages.ReadBytes(0)
		if err != nil {
			break
		}
		var r reply
		if err := json.Unmarshal(data[:len(data)-1], &r); err != nil {
			continue
		}
		b.mu.Lock()
		if wait := b.waiting[r.ID]; wait != nil {
			delete(b.waiting, r.ID)
			wait <- r
		}
		words := string(r.Params)
		if r.Method == "Runtime.exceptionThrown" || r.Method == "Log.entryAdded" && strings.Contains(words, `"source":"security"`) || r.Method == "Page.javascriptDialogOpening" {
			b.wrong = append(b.wrong, words)
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	for _, wait := range b.waiting {
		close(wait)
	}
	clear(b.waiting)
}

// send sends a command to the browser, or a session of it, and returns where the
// answer will be.
func (b *browser) send(session, method string, params any) <-chan reply {
	wait := make(chan reply, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		close(wait)
		return wait
	}
	b.last++
	b.waiting[b.last] = wait
	command := map[string]any{"id": b.last, "method": method}
	if session != "" {
		command["sessionId"] = session
	}
	if params != nil {
		command["params"] = params
	}
	data, err := json.Marshal(command)
	if err == nil {
		_, err = b.write.Write(append(data, 0))
	}
	if err != nil {
		delete(b.waiting, b.last)
		close(wait)
	}
	return wait
}

// call sends a command and reads its result.
func (b *browser) call(session, method string, params, result any) error {
	select {
	case r, answered := <-b.send(session, method, params):
		switch {
		case !answered:
			return fmt.Errorf("%s: the browser ended", method)
		case r.Error != nil:
			return fmt.Errorf("%s: %s", method, r.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(r.Result, result)
	case <-b.t.Context().Done():
		return b.t.Context().Err()
	}
}

// tab is a page in a browser.
type tab struct {
	*browser
	session string
}

type params = map[string]any

// open opens a page.
func (b *browser) open(url string) *tab {
	b.t.Helper()
	var target struct {
		ID string `json:"targetId"`
	}
	var session struct {
		ID string `json:"sessionId"`
	}
	ok(b.t, b.call("", "Target.createTarget", params{"url": "about:blank"}, &target))
	ok(b.t, b.call("", "Target.attachToTarget", params{"targetId": target.ID, "flatten": true}, &session))
	p := &tab{b, session.ID}
	for _, domain := range []string{"Runtime.enable", "Log.enable", "Page.enable"} {
		p.do(domain, nil)
	}
	p.do("Page.navigate", params{"url": url})
	return p
}

func (p *tab) do(method string, with any) {
	p.t.Helper()
	ok(p.t, p.call(p.session, method, with, nil))
}

// evaluate returns the value of an expression, as JSON has it.
func (p *tab) evaluate(expression string) (value any, err error) {
	var answer struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		Exception *struct {
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	err = p.call(p.session, "Runtime.evaluate", params{"expression": expression, "returnByValue": true, "awaitPromise": true}, &answer)
	if err == nil && answer.Exception != nil {
		err = fmt.Errorf("%s: %s", expression, answer.Exception.Exception.Description)
	}
	return answer.Result.Value, err
}

func (p *tab) value(expression string) any {
	p.t.Helper()
	v, err := p.evaluate(expression)
	ok(p.t, err)
	return v
}

// until waits until an expression is true.
func (p *tab) until(expression string) {
	p.t.Helper()
	eventually(p.t, func() error {
		v, err := p.evaluate(expression)
		if err != nil || v == true {
			return err
		}
		shown, _ := p.evaluate(`document.body.innerText.slice(0, 2000)`)
		return fmt.Errorf("%s: %v, want true; the page shows:\n%v", expression, v, shown)
	})
}

// shows waits until the page shows a text.
func (p *tab) shows(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}

// press presses and releases a key.
func (p *tab) press(key string) {
	p.t.Helper()
	down := params{"type": "keyDown", "key": key}
	switch {
	case len(key) == 1:
		down["text"] = key
	case key == "Enter":
		down["text"], down["windowsVirtualKeyCode"] = "\r", 13
	case key == "Tab":
		down["windowsVirtualKeyCode"] = 9
	}
	p.do("Input.dispatchKeyEvent", down)
	p.do("Input.dispatchKeyEvent", params{"type": "keyUp", "key": key})
}

func (p *tab) enter(text string) {
	p.t.Helper()
	p.do("Input.insertText", params{"text": text})
}

// picture keeps what the page looks like where SSMD_PICTURES names a directory.
func (p *tab) picture(name string) {
	p.t.Helper()
	dir := os.Getenv("SSMD_PICTURES")
	if dir == "" {
		return
	}
	var shot struct {
		Data string `json:"data"`
	}
	ok(p.t, p.call(p.session, "Page.captureScreenshot", params{"format": "png"}, &shot))
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	ok(p.t, err)
	ok(p.t, os.WriteFile(dir+"/"+name+".png", data, 0o644))
}
