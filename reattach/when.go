package reattach

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// What one evaluation may cost. Nothing repeats but over an interface's
// subnets, and no such loop stands in another, so that the time is bounded by
// the length of the expression.
const (
	maxWhenLength  = 1024 // bytes
	maxWhenNodes   = 200
	maxWhenSubnets = 64      // of one interface; more are not shown to it
	maxWhenMemory  = 1 << 16 // what the evaluator counts: elements of lists
)

// When is a compiled expression over the lost instance and the candidate,
// which must be true for a reattachment. It is made by ParseWhen, changes
// never, and may be used concurrently.
type When struct {
	text    string
	program *vm.Program
	shown   []whenMember // which values a verdict names
}

// whenMember is an attribute of one of the two, as "candidate", "mtu".
type whenMember struct{ of, attribute string }

// whenEnv is what an expression sees.
type whenEnv struct {
	Candidate whenInterface `expr:"candidate"`
	Previous  whenInterface `expr:"previous"`
}

// whenInterface is an interface as an expression sees it. What it lacks is
// empty, a VLAN ID -1.
type whenInterface struct {
	Name         string   `expr:"name"`
	AltNames     []string `expr:"altnames"`
	Kind         string   `expr:"kind"`
	LinkType     string   `expr:"link_type"`
	MAC          string   `expr:"mac"`
	PermanentMAC string   `expr:"permanent_mac"`
	Device       string   `expr:"device"`
	Parent       string   `expr:"parent"`
	Master       string   `expr:"master"`
	VLANID       int      `expr:"vlan_id"`
	LinkGroup    int      `expr:"link_group"`
	Alias        string   `expr:"alias"`
	Subnet       []string `expr:"subnet"`
	Index        int      `expr:"ifindex"`
	MTU          int      `expr:"mtu"`
	Up           bool     `expr:"up"`
	Carrier      bool     `expr:"carrier"`
	Multicast    bool     `expr:"multicast"`
}

func whenInterfaceOf(i *ifwatch.Interface) whenInterface {
	w := whenInterface{
		Name: i.Name, AltNames: i.AltNames, Kind: i.Kind, LinkType: i.LinkType,
		MAC: i.MAC, PermanentMAC: i.PermMAC, Device: i.Device, Parent: i.Parent, Master: i.Master,
		VLANID: i.VLANID, LinkGroup: int(i.LinkGroup), Alias: i.Alias,
		Index: i.Index, MTU: i.MTU, Up: i.Up, Carrier: i.Carrier, Multicast: i.Multicast,
	}
	for _, p := range append(i.Prefixes(ifwatch.IPv4), i.Prefixes(ifwatch.IPv6)...) {
		w.Subnet = append(w.Subnet, p.String())
	}
	w.AltNames = w.AltNames[:min(len(w.AltNames), maxWhenSubnets)]
	w.Subnet = w.Subnet[:min(len(w.Subnet), maxWhenSubnets)]
	return w
}

// WhenError is what is wrong with an expression, and where.
type WhenError struct {
	Line, Column int // in characters, counted from 1; zero where it is the whole
	Message      string
}

// Error returns the message with the position in the expression.
func (e *WhenError) Error() string {
	switch {
	case e.Column == 0:
		return e.Message
	case e.Line > 1:
		return fmt.Sprintf("line %d, column %d of the expression: %s", e.Line, e.Column, e.Message)
	}
	return fmt.Sprintf("column %d of the expression: %s", e.Column, e.Message)
}

// whenFunctions are the functions that an expression may use: those that cost
// no more than what they are given.
var whenFunctions = []string{
	"all", "any", "none", "one", "count", "len", "lower", "upper", "trim", "trimPrefix", "trimSuffix",
	"hasPrefix", "hasSuffix", "indexOf", "lastIndexOf", "abs", "int", "string",
}

// ParseWhen compiles an expression and checks its types. The errors are
// *WhenError.
func ParseWhen(text string) (*When, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, &WhenError{Message: "empty, want an expression, for example candidate.mtu >= previous.mtu"}
	case len(text) > maxWhenLength:
		return nil, &WhenError{Message: fmt.Sprintf("%d bytes long, want at most %d", len(text), maxWhenLength)}
	}
	bounds := &whenBounds{}
	options := []expr.Option{
		expr.Env(whenEnv{}), expr.AsBool(), expr.Optimize(false), expr.MaxNodes(maxWhenNodes),
		expr.DisableAllBuiltins(), expr.Patch(bounds),
	}
	for _, name := range whenFunctions {
		options = append(options, expr.EnableBuiltin(name))
	}
	program, err := expr.Compile(text, options...)
	if bounds.refused != "" {
		return nil, whenErrorAt(text, bounds.at, bounds.refused)
	}
	if err != nil {
		var where *file.Error
		if !errors.As(err, &where) {
			return nil, &WhenError{Message: whenMessage(err.Error())}
		}
		return nil, &WhenError{Line: where.Line, Column: where.Column + 1, Message: whenMessage(where.Message)}
	}
	return &When{text: text, program: program, shown: bounds.members}, nil
}

// whenMessage says what would be right where the compiler does not.
func whenMessage(message string) string {
	switch {
	case strings.HasPrefix(message, "expected bool, but got"):
		return message + ", want a comparison, for example candidate.mtu >= previous.mtu"
	case strings.HasPrefix(message, "unknown name"):
		return message + ", want candidate or previous, or one of the functions " + strings.Join(whenFunctions, ", ")
	case strings.Contains(message, "has no field"):
		field := message[strings.LastIndex(message, " ")+1:]
		return "no attribute " + field + ", want one of " + strings.Join(whenAttributes(), ", ")
	case strings.Contains(message, "maximum allowed nodes"):
		return fmt.Sprintf("more than %d values and operations, want fewer", maxWhenNodes)
	case message == "unexpected token EOF":
		return "it ends too early, want for example candidate.mtu >= previous.mtu"
	}
	return message
}

// whenAttributes are the names of what an expression may ask of an interface.
func whenAttributes() []string {
	t := reflect.TypeFor[whenInterface]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("expr")
	}
	return names
}

func whenErrorAt(text string, at file.Location, message string) *WhenError {
	bound := (&file.Error{Location: at}).Bind(file.NewSource(text))
	return &WhenError{Line: bound.Line, Column: bound.Column + 1, Message: message}
}

// String returns the expression, nothing for nil.
func (w *When) String() string {
	if w == nil {
		return ""
	}
	return w.text
}

// MarshalText writes the expression.
func (w *When) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// Equal reports whether two are the same expression.
func (w *When) Equal(o *When) bool { return w.String() == o.String() }

// check evaluates the expression. What cannot be evaluated is not true.
func (w *When) check(lost, candidate *ifwatch.Interface) Check {
	env := whenEnv{Candidate: whenInterfaceOf(candidate), Previous: whenInterfaceOf(lost)}
	c := Check{Rule: "when", Wanted: w.text, Found: w.show(env), Result: Reject}
	machine := vm.VM{MemoryBudget: maxWhenMemory}
	result, err := machine.Run(w.program, env)
	if err != nil {
		var where *file.Error
		if errors.As(err, &where) {
			err = whenErrorAt(w.text, where.Location, where.Message)
		}
		c.Found += ", " + err.Error()
		return c
	}
	if result == true {
		c.Result = Accept
	}
	if len(w.shown) == 0 {
		c.Found = fmt.Sprint(result)
	}
	return c
}

// show returns the values that the expression is about.
func (w *When) show(env whenEnv) string {
	var parts []string
	for _, m := range w.shown {
		i := reflect.ValueOf(env.Previous)
		if m.of == "candidate" {
			i = reflect.ValueOf(env.Candidate)
		}
		for n := range i.NumField() {
			if i.Type().Field(n).Tag.Get("expr") == m.attribute {
				parts = append(parts, m.of+"."+m.attribute+" "+showWhen(i.Field(n).Interface()))
			}
		}
	}
	if len(parts) == 0 {
		return "no attribute"
	}
	return strings.Join(parts, ", ")
}

func showWhen(value any) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case []string:
		return "[" + strings.Join(v, " ") + "]"
	}
	return fmt.Sprint(value)
}
