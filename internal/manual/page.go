package manual

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// date is that of the pages in the tree. A release puts its own there.
const date = "November 26, 2026"

// page is one manual page while it is written.
type page struct{ text bytes.Buffer }

// newPage begins the page NAME(SECTION), which is about what a phrase says.
func newPage(name, section, about string) *page {
	p := &page{}
	p.text.WriteString(".\\\" Generated: go generate ./cmd/ssmd\n")
	p.macro("Dd", date)
	p.macro("Dt", strings.ToUpper(name), section)
	p.macro("Os", "Linux")
	p.section("NAME")
	p.macro("Nm", escape(name))
	p.macro("Nd", escape(about))
	return p
}

// macro writes one line of a macro and its arguments, which are escaped.
func (p *page) macro(name string, arguments ...string) {
	fmt.Fprintf(&p.text, ".%s\n", strings.Join(append([]string{name}, arguments...), " "))
}

func (p *page) section(title string) { p.macro("Sh", title) }

// paragraphs writes text as it stands in a program's help: paragraphs with
// empty lines between, and lines that are indented to stay as they are.
func (p *page) paragraphs(text string) {
	for paragraph := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		if isIndented(paragraph) {
			p.literal(paragraph)
			continue
		}
		if !p.begins() {
			p.macro("Pp")
		}
		for line := range strings.SplitSeq(paragraph, "\n") {
			p.line(line)
		}
	}
}

func isIndented(text string) bool {
	return strings.HasPrefix(text, "  ") || strings.HasPrefix(text, "\t")
}

// begins reports whether what was written last leads to a paragraph by itself.
func (p *page) begins() bool {
	lines := strings.Split(strings.TrimSuffix(p.text.String(), "\n"), "\n")
	last := lines[len(lines)-1]
	return strings.HasPrefix(last, ".Sh ") || strings.HasPrefix(last, ".Ss ") || strings.HasPrefix(last, ".It ")
}

// sentenceEnd is where a sentence ends and another begins, on one line.
var sentenceEnd = regexp.MustCompile(`([.:]) ([A-Z])`)

// line writes one line of plain text, each sentence on a line of its own: so
// the formatter knows where they end.
func (p *page) line(text string) {
	for sentence := range strings.SplitSeq(sentenceEnd.ReplaceAllString(text, "$1\n$2"), "\n") {
		p.asIs(sentence)
	}
}

// asIs writes one line, whatever it begins with.
func (p *page) asIs(text string) {
	text = escape(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	fmt.Fprintln(&p.text, text)
}

// literal writes lines that stay as they are.
func (p *page) literal(text string) {
	p.macro("Bd", "-literal", "-offset", "indent")
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		p.asIs(strings.TrimPrefix(line, "  "))
	}
	p.macro("Ed")
}

// entry is one term of a list, made of escaped words of mdoc, and what is said
// of it.
type entry struct{ term, text string }

func (p *page) list(entries []entry) {
	if len(entries) == 0 {
		return
	}
	p.macro("Bl", "-tag", "-width", "Ds")
	for _, e := range entries {
		p.macro("It", e.term)
		p.paragraphs(e.text)
	}
	p.macro("El")
}

var escapes = strings.NewReplacer(`\`, `\e`, `-`, `\-`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`)

func escape(text string) string { return escapes.Replace(text) }

// word escapes text that is to be one argument of a macro, and no macro.
func word(text string) string {
	return `"\&` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"`
}
