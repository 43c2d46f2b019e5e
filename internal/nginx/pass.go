package nginx

import (
	"strings"
)

// FastCGIServers are the addresses, as a PHP-FPM pool's listen directive writes them, that the servers whose document
// root is wanted pass requests to, by the configuration in file and what it includes. Addresses that nginx computes are
// left out.
func FastCGIServers(file string, wanted func(root string) bool) ([]string, error) {
	tree, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, http := range blocks(tree, "http") {
		upstreams := map[string][]string{}
		for _, d := range http {
			if d.name == "upstream" && len(d.args) == 1 {
				upstreams[d.args[0]] = values(d.block, "server")
			}
		}
		for _, server := range blocks(http, "server") {
			p := passes{wanted: wanted}
			p.look(server, append(values(http, "root"), values(server, "root")...))
			for _, address := range p.found {
				if members, grouped := upstreams[address]; grouped {
					found = append(found, members...)
				} else {
					found = append(found, address)
				}
			}
		}
	}
	return listens(found), nil
}

// passes collects the addresses of one server.
type passes struct {
	wanted func(root string) bool
	found  []string
}

// look goes through a block, in which the innermost root counts.
func (p *passes) look(in []directive, roots []string) {
	if own := values(in, "root"); len(own) > 0 {
		roots = own
	}
	for _, d := range in {
		switch {
		case d.name == "fastcgi_pass" && len(d.args) == 1 && len(roots) > 0 && p.wanted(roots[len(roots)-1]):
			p.found = append(p.found, d.args[0])
		case len(d.block) > 0:
			p.look(d.block, roots)
		}
	}
}

// values are the first arguments of the directives of a name.
func values(in []directive, name string) (found []string) {
	for _, d := range in {
		if d.name == name && len(d.args) > 0 {
			found = append(found, d.args[0])
		}
	}
	return found
}

// listens writes each address once, as PHP-FPM does.
func listens(addresses []string) (found []string) {
	seen := map[string]bool{}
	for _, address := range addresses {
		address = strings.TrimSuffix(strings.TrimPrefix(address, "unix:"), ":")
		if address == "" || strings.Contains(address, "$") || seen[address] {
			continue
		}
		seen[address] = true
		found = append(found, address)
	}
	return found
}
