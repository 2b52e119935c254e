package control

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// document is what the tests read of openapi.json.
type document struct {
	OpenAPI    string                     `json:"openapi"`
	Paths      map[string]json.RawMessage `json:"paths"`
	Components struct {
		Parameters map[string]parameter `json:"parameters"`
		Responses  map[string]response  `json:"responses"`
		Schemas    map[string]schema    `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	ID          string              `json:"operationId"`
	Parameters  []reference         `json:"parameters"`
	RequestBody *json.RawMessage    `json:"requestBody"`
	Responses   map[string]response `json:"responses"`
}

type reference struct {
	Ref string `json:"$ref"`
}

// target is the last step of a reference.
func (r reference) target() string { return r.Ref[strings.LastIndex(r.Ref, "/")+1:] }

type parameter struct {
	Name string `json:"name"`
	In   string `json:"in"`
}

type response struct {
	reference
	Content map[string]json.RawMessage `json:"content"`
}

type schema struct {
	Properties map[string]struct {
		Enum []string `json:"enum"`
	} `json:"properties"`
	Required []string `json:"required"`
	Enum     []string `json:"enum"`
}

func readDocument(t *testing.T) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(description, &d); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("OpenAPI %s", d.OpenAPI)
	}
	return d
}

// operations returns every method of every path, as http.ServeMux writes them.
func (d document) operations(t *testing.T) map[string]operation {
	t.Helper()
	all := make(map[string]operation)
	for path, text := range d.Paths {
		var methods map[string]json.RawMessage
		if err := json.Unmarshal(text, &methods); err != nil {
			t.Fatal(err)
		}
		var shared []reference
		if p := methods["parameters"]; p != nil {
			if err := json.Unmarshal(p, &shared); err != nil {
				t.Fatal(err)
			}
			delete(methods, "parameters")
		}
		for method, text := range methods {
			var o operation
			if err := json.Unmarshal(text, &o); err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			o.Parameters = append(o.Parameters, shared...)
			all[strings.ToUpper(method)+" "+path] = o
		}
	}
	return all
}

// TestDocumentHasEveryRoute holds that the document and the handlers know the
// same methods of the same paths, with the same parameters and bodies.
func TestDocumentHasEveryRoute(t *testing.T) {
	d := readDocument(t)
	documented := d.operations(t)
	ids := make(map[string]string)
	for _, r := range NewServer(ServerOptions{}).routes() {
		o, ok := documented[r.pattern]
		if !ok {
			t.Errorf("%s is not in openapi.json", r.pattern)
			continue
		}
		delete(documented, r.pattern)
		if (o.RequestBody != nil) != (r.body > 0) {
			t.Errorf("%s: takes %d bytes, and the document says otherwise", r.pattern, r.body)
		}
		var query, path []string
		for _, ref := range o.Parameters {
			switch p := d.Components.Parameters[ref.target()]; p.In {
			case "query":
				query = append(query, p.Name)
			case "path":
				path = append(path, "{"+p.Name+"}")
			}
		}
		if diff := cmp.Diff(r.query, query); diff != "" {
			t.Errorf("%s: parameters (-handler +document):\n%s", r.pattern, diff)
		}
		if diff := cmp.Diff(regexp.MustCompile(`{\w+}`).FindAllString(r.pattern, -1), path); diff != "" {
			t.Errorf("%s: path (-handler +document):\n%s", r.pattern, diff)
		}
		if other := ids[o.ID]; o.ID == "" || other != "" {
			t.Errorf("%s: operationId %q, which is empty or that of %s", r.pattern, o.ID, other)
		}
		ids[o.ID] = r.pattern
	}
	for pattern := range documented {
		t.Errorf("openapi.json has %s, and no handler", pattern)
	}
}

// TestSchemasAreTheTypes holds that the schemas have the fields of what is
// encoded, and that those that may be left out are not required.
func TestSchemasAreTheTypes(t *testing.T) {
	types := map[string]any{
		"Membership": Status{}, "Monitor": monitor.Status{}, "Stream": monitor.Stream{}, "RTP": monitor.RTP{}, "Attachment": membership.Attachment{}, "Previous": membership.Previous{},
		"Counters": membership.Counters{}, "Explanation": Explanation{}, "ChannelStatus": membership.ChannelStatus{},
		"InterfaceExplanation": membership.InterfaceExplanation{}, "Check": reattach.Check{}, "Interface": membership.InterfaceStatus{},
		"Address": ifwatch.Address{}, "Returns": ifwatch.Returns{}, "Protocol": ifwatch.Protocol{}, "Daemon": Daemon{}, "Channels": Channels{},
		"Drained": Drained{}, "Event": membership.Event{}, "Problem": Problem{}, "Flaw": Flaw{}, "Reloaded": Reloaded{}, "ReloadStatus": ReloadStatus{},
		"AdoptionRequest": AdoptionRequest{}, "Adoption": Adoption{}, "AdoptedProcess": AdoptedProcess{},
	}
	for name, s := range readDocument(t).Components.Schemas {
		value, ok := types[name]
		if !ok {
			// Approval and Entry are bodies, Verdict encodes itself.
			if len(s.Properties) > 0 && !slices.Contains([]string{"Approval", "Entry", "Verdict"}, name) {
				t.Errorf("schema %s stands for no type", name)
			}
			continue
		}
		delete(types, name)
		all, required := fieldsOf(reflect.TypeOf(value))
		var properties []string
		for p := range s.Properties {
			properties = append(properties, p)
		}
		slices.Sort(properties)
		slices.Sort(s.Required)
		if diff := cmp.Diff(all, properties); diff != "" {
			t.Errorf("%s: properties (-type +document):\n%s", name, diff)
		}
		if diff := cmp.Diff(required, s.Required); diff != "" {
			t.Errorf("%s: required (-type +document):\n%s", name, diff)
		}
	}
	for name := range types {
		t.Errorf("no schema %s", name)
	}
}

// fieldsOf returns the names of a type's fields in JSON, and those that are
// always there, sorted.
func fieldsOf(t reflect.Type) (all, required []string) {
	for _, f := range reflect.VisibleFields(t) {
		tag, ok := f.Tag.Lookup("json")
		if !ok || tag == "-" {
			continue // embedded: its fields are visible; or not for clients
		}
		name, options, _ := strings.Cut(tag, ",")
		all = append(all, name)
		if options != "omitempty" {
			required = append(required, name)
		}
	}
	slices.Sort(all)
	slices.Sort(required)
	return all, required
}

// TestEnumerationsAreTheConstants reads the constants in the sources, as
// nothing lists them all.
func TestEnumerationsAreTheConstants(t *testing.T) {
	schemas := readDocument(t).Components.Schemas
	for _, test := range []struct {
		file, pattern string
		documented    []string
	}{
		{"../membership/event.go", `EventType += "(\w+)"|EventType = "(\w+)"`, schemas["Event"].Properties["type"].Enum},
		{"../membership/event.go", `Cause += "(\w+)"|Cause = "(\w+)"`, schemas["Event"].Properties["cause"].Enum},
		{"../membership/status.go", `State = "(\w+)"`, schemas["State"].Enum},
		{"problem.go", `Type\w+ += "([\w.,:-]+)"`, schemas["Problem"].Properties["type"].Enum},
		{"../reattach/verdict.go", `resultNames = .*{"(\w+)", "(\w+)", "(\w+)", "(\w+)"}`, schemas["Result"].Enum},
	} {
		source, err := os.ReadFile(test.file)
		if err != nil {
			t.Fatal(err)
		}
		if test.file == "../membership/event.go" { // the monitor has some of its own
			more, err := os.ReadFile("../internal/monitor/status.go")
			if err != nil {
				t.Fatal(err)
			}
			source = append(source, more...)
		}
		var constants []string
		for _, found := range regexp.MustCompile(test.pattern).FindAllStringSubmatch(string(source), -1) {
			constants = append(constants, slices.DeleteFunc(found[1:], func(s string) bool { return s == "" })...)
		}
		slices.Sort(constants)
		slices.Sort(test.documented)
		if diff := cmp.Diff(constants, test.documented); diff != "" || len(constants) < 2 {
			t.Errorf("%s (-source +document):\n%s", test.file, diff)
		}
	}
}

// schemas compiles the schemas of the document, by their places in it.
type schemas struct{ compiler *jsonschema.Compiler }

func newSchemas(t *testing.T) schemas {
	t.Helper()
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(description))
	if err != nil {
		t.Fatal(err)
	}
	s := schemas{jsonschema.NewCompiler()}
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.AssertFormat()
	if err := s.compiler.AddResource("openapi.json", whole); err != nil {
		t.Fatal(err)
	}
	return s
}

// at returns the schema at a place, whose steps are not escaped yet.
func (s schemas) at(t *testing.T, steps ...string) *jsonschema.Schema {
	t.Helper()
	place := "openapi.json#"
	for _, step := range steps {
		place += "/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	compiled, err := s.compiler.Compile(place)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// matches validates JSON.
func matches(t *testing.T, s *jsonschema.Schema, text string) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Errorf("%s: %v", text, err)
		return
	}
	if err := s.Validate(value); err != nil {
		t.Errorf("%s\n%v", text, err)
	}
}

func TestEverySchemaIsOne(t *testing.T) {
	s := newSchemas(t)
	for name := range readDocument(t).Components.Schemas {
		s.at(t, "components", "schemas", name)
	}
}
