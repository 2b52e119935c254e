package firewall

import (
	"github.com/google/nftables"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

type chainKey struct {
	family nftables.TableFamily
	table  string
	chain  string
}

// readDevices returns the interfaces that chains are hooked to, which the
// library does not decode.
func readDevices() (map[chainKey]map[string]bool, error) {
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC})
	answers, err := request.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return nil, err
	}
	all := make(map[chainKey]map[string]bool)
	for _, answer := range answers {
		if len(answer) < nl.SizeofNfgenmsg {
			continue
		}
		attributes, err := nl.ParseRouteAttr(answer[nl.SizeofNfgenmsg:])
		if err != nil {
			return nil, err
		}
		key, devices := chainKey{family: nftables.TableFamily(answer[0])}, make(map[string]bool)
		for _, a := range attributes {
			switch a.Attr.Type &^ unix.NLA_F_NESTED {
			case unix.NFTA_CHAIN_TABLE:
				key.table = nl.BytesToString(a.Value)
			case unix.NFTA_CHAIN_NAME:
				key.chain = nl.BytesToString(a.Value)
			case unix.NFTA_CHAIN_HOOK:
				addDevices(devices, a.Value)
			}
		}
		all[key] = devices
	}
	return all, nil
}

// hookDevices is NFTA_HOOK_DEVS, a list of names.
const hookDevices = 4

func addDevices(devices map[string]bool, hook []byte) {
	attributes, err := nl.ParseRouteAttr(hook)
	if err != nil {
		return
	}
	for _, a := range attributes {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.NFTA_HOOK_DEV:
			devices[nl.BytesToString(a.Value)] = true
		case hookDevices:
			names, err := nl.ParseRouteAttr(a.Value)
			if err != nil {
				return
			}
			for _, name := range names {
				devices[nl.BytesToString(name.Value)] = true
			}
		}
	}
}
