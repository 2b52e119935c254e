package config

import "maps"

// form is which values a key takes: in words, for the manual, and as JSON
// Schema. The schema never refuses what is good; what it cannot say, as that
// names differ, only the reading of the file does.
type form struct {
	words  string
	schema object
}

// object is an object of JSON.
type object = map[string]any

const (
	// What time.ParseDuration reads.
	durationPattern = `^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`

	// A mode of at most 0777, as parseMode reads it.
	modePattern = `^(0o)?0?[0-7]{3}$`

	namePattern   = `^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$`
	listenPattern = `^$|:[0-9]+$`

	ipv4        = `[0-9]{1,3}(\.[0-9]{1,3}){3}`
	ipv4Group   = `2(2[4-9]|3[0-9])(\.[0-9]{1,3}){3}`
	ipv6        = `[0-9A-Fa-f]*:[0-9A-Fa-f:.]*`
	ipv6Group   = `[Ff][Ff][0-9A-Fa-f]{2}:[0-9A-Fa-f:.]*`
	prefixIPv4  = ipv4 + `/[0-9]{1,2}`
	prefixIPv6  = ipv6 + `/[0-9]{1,3}`
	groupsIPv4  = ipv4Group + `(/[0-9]{1,2}|-` + ipv4Group + `)?`
	groupsIPv6  = ipv6Group + `(/[0-9]{1,3}|-` + ipv6Group + `)?`
	channelIPv4 = ipv4 + `@` + ipv4Group
	channelIPv6 = ipv6 + `@` + ipv6Group
)

func textForm(words string) form { return form{words, object{"type": "string"}} }

func patternForm(words, pattern string) form {
	return form{words, object{"type": "string", "pattern": pattern}}
}

// eitherForm is a string that is of one family or the other.
func eitherForm(words, a, b string) form {
	return patternForm(words, "^("+a+"|"+b+")$")
}

// choiceForm is one of a few words.
func choiceForm[T ~string](allowed ...T) form {
	return form{oneOf(wordsOf(allowed)), object{"type": "string", "enum": wordsOf(allowed)}}
}

func modeForm() form {
	return form{"octal permission bits in quotes", object{"anyOf": []any{object{"type": "string", "pattern": modePattern}, object{"type": "integer"}}}}
}

func numberForm(words string, least, most int) form {
	return form{words, object{"type": "integer", "minimum": least, "maximum": most}}
}

func truthForm() form { return form{"true or false", object{"type": "boolean"}} }

func durationForm() form {
	return form{"a time with its unit, or 0", object{"anyOf": []any{
		object{"type": "string", "pattern": durationPattern}, object{"const": 0},
	}}}
}

// listForm is a list of at least so many values, or a single one.
func listForm(one form, words string, least int) form {
	list := object{"type": "array", "items": one.schema}
	if least > 0 {
		list["minItems"] = least
	}
	return form{words, object{"anyOf": []any{one.schema, list}}}
}

// choicesForm is a list of a few words, each at most once.
func choicesForm[T ~string](least int, allowed ...T) form {
	one := choiceForm(allowed...)
	list := object{"type": "array", "items": one.schema, "uniqueItems": true}
	if least > 0 {
		list["minItems"] = least
	}
	return form{"a list of " + one.words, object{"anyOf": []any{one.schema, list}}}
}

// orNothing also takes a key without a value.
func orNothing(f form) form {
	schema := maps.Clone(f.schema)
	if kind, ok := schema["type"]; ok {
		schema["type"] = []any{kind, "null"}
		return form{f.words, schema}
	}
	options, _ := schema["anyOf"].([]any)
	schema["anyOf"] = append(options[:len(options):len(options)], object{"type": "null"})
	return form{f.words, schema}
}

// mappingForm is a mapping of these keys.
func mappingForm(below []Key) form {
	properties := make(object, len(below))
	for _, k := range below {
		properties[k.Name] = k.schema()
	}
	return form{"a mapping", object{"type": "object", "properties": properties, "additionalProperties": false}}
}
