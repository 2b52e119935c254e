package config

import (
	"sync"

	"github.com/ssmd-project/ssmd/reattach"
)

// interfaceKey is the key interface: a name, or attributes.
func interfaceKey() Key {
	k := Key{Name: "interface", Values: "a name, or a mapping", Below: attributeKeyList(),
		Doc: "Which interface: a name, or attributes, which all have to hold. A pattern knows *, ? and [a-z]; one with a leading ! must not match."}
	attributes := mappingForm(k.Below).schema
	attributes["minProperties"] = 1
	k.form = form{k.Values, object{"anyOf": []any{globForm().schema, attributes}}}
	return k
}

func globForm() form { return patternForm("a pattern", `^(!.|[^!])`) }

var attributeKeyList = sync.OnceValue(func() []Key {
	globs := listForm(globForm(), "a pattern, or a list", 1)
	number := form{"a number", object{"type": "integer", "minimum": 0, "maximum": uint64(1<<32 - 1)}}
	numbers := form{"a number or a pattern, or a list", listForm(form{"", object{"anyOf": []any{number.schema, globForm().schema}}}, "", 1).schema}
	subnets := listForm(eitherForm("a prefix", prefixIPv4, prefixIPv6), "a prefix, or a list", 1)
	var all []Key
	for _, a := range reattach.Attributes() {
		f := globs
		switch a {
		case reattach.VLANID, reattach.LinkGroup:
			f = numbers
		case reattach.Subnet:
			f = subnets
		}
		all = append(all, newKey(string(a), "", f, attributeDocs[a]))
	}
	return all
})

var attributeDocs = map[reattach.Attribute]string{
	reattach.Name:         "The interface's name, or an alternative one.",
	reattach.Kind:         "As veth, vlan or wireguard; physical where the kernel names none.",
	reattach.LinkType:     "As ether, loopback, ppp or none.",
	reattach.MAC:          "The present MAC address.",
	reattach.PermanentMAC: "The MAC address of the hardware; virtual interfaces have none.",
	reattach.Device:       "Bus and device, as pci/0000:3b:00.0 or usb/1-2:1.0; virtual interfaces have none.",
	reattach.Parent:       "The name of the interface that it is on, or of its peer, in the same namespace.",
	reattach.Master:       "The name of the bridge, bond or VRF that it is a port of.",
	reattach.VLANID:       "Of a VLAN interface.",
	reattach.LinkGroup:    "The number set by ip link set ... group.",
	reattach.Alias:        "The text set by ip link set ... alias.",
	reattach.Subnet:       "One of its addresses lies in one of these prefixes.",
}
