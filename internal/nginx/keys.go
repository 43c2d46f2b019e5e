package nginx

// Keys are the files of private keys that the configuration in file serves with. One that a variable names is not known.
func Keys(file string) ([]string, error) {
	tree, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return keys(tree), nil
}

func keys(in []directive) []string {
	var found []string
	for _, d := range in {
		if d.name == "ssl_certificate_key" && len(d.args) == 1 {
			found = append(found, d.args[0])
		}
		found = append(found, keys(d.block)...)
	}
	return found
}
