package store

import (
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
)

// Recipients reads the public age keys that backup.encrypt_to names.
func Recipients(keys []string) ([]age.Recipient, error) {
	recipients, err := age.ParseRecipients(strings.NewReader(strings.Join(keys, "\n")))
	if err != nil {
		return nil, fmt.Errorf("backup.encrypt_to: %w", err)
	}
	return recipients, nil
}

// Identities reads a file of private age keys as age-keygen writes it. A file that others can read is
// refused: whoever reads it can read every backup.
func Identities(path string) ([]age.Identity, error) {
	file, err := os.Open(path) //nolint:gosec // the administrator names the file
	if err != nil {
		return nil, fmt.Errorf("read identity file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read identity file: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("identity file %s can be read by other accounts (mode %04o), and opens every encrypted backup: chmod 600 it first",
			path, info.Mode().Perm())
	}
	identities, err := age.ParseIdentities(file)
	if err != nil {
		return nil, fmt.Errorf("identity file %s: %w", path, err)
	}
	return identities, nil
}
