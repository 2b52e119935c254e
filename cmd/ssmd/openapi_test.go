package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/config"
)

// TestDocumentHasTheKeys holds that the API's document knows the keys of a
// membership.
func TestDocumentHasTheKeys(t *testing.T) {
	text, err := os.ReadFile("../../control/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var keys, documented []string
	for _, path := range config.EntryKeys() {
		key, _, _ := strings.Cut(path, ".")
		keys = append(keys, key)
	}
	for key := range document.Components.Schemas["Entry"].Properties {
		documented = append(documented, key)
	}
	slices.Sort(keys)
	slices.Sort(documented)
	if diff := cmp.Diff(slices.Compact(keys), documented); diff != "" {
		t.Errorf("(-file +document):\n%s", diff)
	}
}
