package reattach

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Attribute names a property of an interface by which it is selected or
// compared.
type Attribute string

// The attributes.
const (
	Name         Attribute = "name"          // in selectors alternative names count too
	Kind         Attribute = "kind"          // "physical" where the kernel names none
	LinkType     Attribute = "link_type"     // as "ether"
	MAC          Attribute = "mac"           // as "02:00:00:00:00:01"
	PermanentMAC Attribute = "permanent_mac" // of the hardware
	Device       Attribute = "device"        // as "pci/0000:3b:00.0"
	Parent       Attribute = "parent"        // by name: an index would not survive the parent's own re-creation
	Master       Attribute = "master"        // by name
	VLANID       Attribute = "vlan_id"       // 0 to 4094
	LinkGroup    Attribute = "link_group"    // a number
	Alias        Attribute = "alias"         // ifalias
	Subnet       Attribute = "subnet"        // the network prefixes of its addresses
)

var attributes = [...]Attribute{Name, Kind, LinkType, MAC, PermanentMAC, Device, Parent, Master, VLANID, LinkGroup, Alias, Subnet}

// Attributes returns all attributes in the order in which they are checked.
func Attributes() []Attribute { return slices.Clone(attributes[:]) }

// ParseAttribute returns the attribute of a name.
func ParseAttribute(name string) (Attribute, error) {
	if a := Attribute(name); slices.Contains(attributes[:], a) {
		return a, nil
	}
	return "", fmt.Errorf("unknown attribute %q, want one of %s", name, joinWords(Attributes()))
}

// canArrive reports whether an interface that lacks the attribute may get it
// later in the same life, so that waiting for it makes sense.
func (a Attribute) canArrive() bool {
	return a == Master || a == Alias || a == Subnet
}

// value returns what the attribute is on an interface, empty where it has
// none. Subnet has many values and is not asked for here.
func (a Attribute) value(i *ifwatch.Interface) string {
	switch a {
	case Name:
		return i.Name
	case Kind:
		return i.Kind
	case LinkType:
		return i.LinkType
	case MAC:
		return i.MAC
	case PermanentMAC:
		return i.PermMAC
	case Device:
		return i.Device
	case Parent:
		return i.Parent
	case Master:
		return i.Master
	case VLANID:
		if i.VLANID < 0 {
			return ""
		}
		return strconv.Itoa(i.VLANID)
	case LinkGroup:
		return strconv.FormatUint(uint64(i.LinkGroup), 10)
	case Alias:
		return i.Alias
	}
	return ""
}

// orNone makes an absent value readable.
func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

func joinWords[T ~string](words []T) string {
	parts := make([]string, len(words))
	for i, w := range words {
		parts[i] = string(w)
	}
	return strings.Join(parts, ", ")
}

func joinPrefixes(prefixes []netip.Prefix) string {
	parts := make([]string, len(prefixes))
	for i, p := range prefixes {
		parts[i] = p.String()
	}
	return orNone(strings.Join(parts, ", "))
}
