package osconf

import "errors"

const (
	nmName    = "org.freedesktop.NetworkManager"
	nmPath    = "/org/freedesktop/NetworkManager"
	nmDNSPath = nmPath + "/DnsManager"
)

func askNM(b bus) (nmFacts, error) {
	var f nmFacts
	if !busOwned(b, nmName) {
		return f, errors.New("NetworkManager is not on the system bus")
	}
	if err := busGet(b, nmName, nmPath, nmName, "Version", &f.version); err != nil {
		return f, err
	}
	if err := busGet(b, nmName, nmDNSPath, nmName+".DnsManager", "Mode", &f.mode); err != nil {
		return f, err
	}
	return f, busGet(b, nmName, nmDNSPath, nmName+".DnsManager", "RcManager", &f.rcManager)
}
