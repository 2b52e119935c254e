package control

import (
	_ "embed"
	"net/http"
)

// description is the OpenAPI document of the API (OpenAPI 3.1.1).
//
//go:embed openapi.json
var description []byte

// describe answers with the document of the API.
func describe(w http.ResponseWriter, _ request) {
	w.Header().Set("Content-Type", contentJSON)
	_, _ = w.Write(description) // the reader is gone
}
