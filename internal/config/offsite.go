package config

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"filippo.io/age"
)

// Offsite is a bucket on S3-compatible storage.
type Offsite struct {
	Endpoint      string    `yaml:"endpoint"` // https://host[:port]; http:// for storage in one's own network
	Region        string    `yaml:"region,omitempty"`
	Bucket        string    `yaml:"bucket"`
	Prefix        string    `yaml:"prefix,omitempty"` // of object names, before the site's
	AccessKeyFile string    `yaml:"access_key_file"`
	SecretKeyFile string    `yaml:"secret_key_file"`
	CAFile        string    `yaml:"ca_file,omitempty"` // PEM, trusted beside the host's authorities
	Bandwidth     Bandwidth `yaml:"bandwidth,omitempty"`
}

func (b *Backup) checkOffsite() error {
	problems := []error{checkRecipients(b.EncryptTo)}
	if o := b.Offsite; o != nil {
		problems = append(problems, o.check())
	}
	return errors.Join(problems...)
}

func (o *Offsite) check() error {
	problems := []error{
		absolute("backup.offsite.access_key_file", o.AccessKeyFile, true),
		absolute("backup.offsite.secret_key_file", o.SecretKeyFile, true),
		absolute("backup.offsite.ca_file", o.CAFile, false),
	}
	if _, err := ParseEndpoint(o.Endpoint); err != nil {
		problems = append(problems, fmt.Errorf("backup.offsite.endpoint: %w", err))
	}
	if o.Bucket == "" || strings.Contains(o.Bucket, "/") {
		problems = append(problems, errors.New("backup.offsite.bucket: the name of a bucket is needed; what comes before object names is the prefix"))
	}
	if o.Prefix != "" && (!filepath.IsLocal(o.Prefix) || path.Clean(o.Prefix) != o.Prefix) {
		problems = append(problems, fmt.Errorf("backup.offsite.prefix: %q must be names joined by '/', without one at either end", o.Prefix))
	}
	return errors.Join(problems...)
}

// checkRecipients does not repeat what was written: it might be a private key.
func checkRecipients(keys []string) error {
	var problems []error
	for i, key := range keys {
		at := fmt.Sprintf("backup.encrypt_to[%d]", i)
		if strings.HasPrefix(strings.ToUpper(key), "AGE-SECRET-KEY-") {
			problems = append(problems, fmt.Errorf("%s: this is a private key, which must not be on this host at all; write the public key, which begins with age1 (age-keygen -y prints it), and make a new pair if others could read this file", at))
		} else if _, err := age.ParseRecipients(strings.NewReader(key)); err != nil {
			problems = append(problems, fmt.Errorf("%s: this is not a public age key, as age-keygen prints it (age1…)", at))
		}
	}
	return errors.Join(problems...)
}

// ParseEndpoint reads https://host[:port] or http://host[:port]; without a scheme it is https.
func ParseEndpoint(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	endpoint, err := url.Parse(text)
	if err != nil || endpoint.Hostname() == "" || endpoint.User != nil || endpoint.RawQuery != "" || endpoint.Fragment != "" ||
		strings.Trim(endpoint.Path, "/") != "" || endpoint.Scheme != "https" && endpoint.Scheme != "http" {
		return nil, errors.New("it must be https://host or https://host:port (http:// within one's own network), without bucket, path or password")
	}
	return endpoint, nil
}

// Bandwidth is in bytes a second; 0 is without limit.
type Bandwidth int64

// bandwidthUnits in bytes a second, the longer names first: Mbit/s as providers sell it, the others as programs show it.
var bandwidthUnits = []struct {
	name  string
	bytes float64
}{
	{"kbit/s", 1e3 / 8}, {"Mbit/s", 1e6 / 8}, {"Gbit/s", 1e9 / 8},
	{"KiB/s", 1 << 10}, {"MiB/s", 1 << 20}, {"GiB/s", 1 << 30},
	{"kB/s", 1e3}, {"KB/s", 1e3}, {"MB/s", 1e6}, {"GB/s", 1e9}, {"B/s", 1},
}

// minBandwidth keeps a typing error, such as MB forgotten, from stopping copies for good.
const minBandwidth = 10_000

// ParseBandwidth reads a number with a unit, such as 20MB/s, 2.5 MiB/s or 100Mbit/s.
func ParseBandwidth(text string) (Bandwidth, error) {
	wrong := fmt.Errorf("%q is not a bandwidth; write for example 20MB/s or 100Mbit/s, at least 10kB/s", text)
	for _, unit := range bandwidthUnits {
		if number, found := strings.CutSuffix(text, unit.name); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if bytes := n * unit.bytes; err == nil && bytes >= minBandwidth && bytes < 1e15 {
				return Bandwidth(bytes), nil
			}
			return 0, wrong
		}
	}
	return 0, wrong
}

// UnmarshalText makes Bandwidth readable from YAML.
func (b *Bandwidth) UnmarshalText(text []byte) error {
	parsed, err := ParseBandwidth(string(text))
	*b = parsed
	return err
}

// MarshalText writes what ParseBandwidth reads.
func (b Bandwidth) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String writes the bandwidth in the largest decimal unit that keeps all digits.
func (b Bandwidth) String() string {
	for _, unit := range []struct {
		name  string
		bytes Bandwidth
	}{{"GB/s", 1e9}, {"MB/s", 1e6}, {"kB/s", 1e3}} {
		if b > 0 && b%unit.bytes == 0 {
			return strconv.FormatInt(int64(b/unit.bytes), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B/s"
}
