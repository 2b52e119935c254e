package config

import (
	"encoding/json"

	"go.yaml.in/yaml/v3"
)

// SchemaID names the schema in itself. It is a name, nothing has to be there.
const SchemaID = "https://github.com/ssmd-project/ssmd/schema/ssmd.schema.json"

// Schema returns the JSON Schema of the file, for editors and others that know
// nothing of ssmd. Whatever Parse accepts, it accepts; what it cannot say, such
// as that names differ, is refused by Parse alone.
//
// It is of draft-07, which editors know.
func Schema() []byte {
	keys := Keys()
	schema := mappingForm(keys).schema
	schema["$schema"] = "http://json-schema.org/draft-07/schema#"
	schema["$id"] = SchemaID
	schema["title"] = "The configuration of ssmd"
	schema["type"] = []any{"object", "null"}
	// Without a default, each membership needs an interface of its own.
	schema["if"] = object{"required": []any{"defaults"}, "properties": object{
		"defaults": object{"type": "object", "required": []any{"interface"}},
	}}
	schema["else"] = object{"properties": object{
		"memberships": object{"items": object{"required": []any{"interface"}}},
	}}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		panic(err) // it is made of maps, lists and words
	}
	return append(text, '\n')
}

// defaultValue is the default as JSON has it.
func (k Key) defaultValue() (any, bool) {
	var value any
	if k.Default == "" || yaml.Unmarshal([]byte(k.Default), &value) != nil {
		return nil, false
	}
	return value, true
}
