package config

import (
	"strings"
	"testing"
)

const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

func TestOffsite(t *testing.T) {
	parsed, err := Parse([]byte(`backup: {encrypt_to: [` + recipient + `], offsite: {endpoint: "https://s3.example.org:9000", region: eu-1, bucket: b,
		prefix: a/b, access_key_file: /k, secret_key_file: /s, ca_file: /ca, bandwidth: 20MB/s}}`))
	if err != nil {
		t.Fatal(err)
	}
	if o := parsed.Backup.Offsite; o.Bandwidth != 20_000_000 || o.Region != "eu-1" || o.CAFile != "/ca" {
		t.Errorf("%+v", o)
	}
	shown, err := parsed.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(shown); err != nil || !strings.Contains(string(shown), "20MB/s") {
		t.Errorf("%v\n%s", err, shown)
	}
}

func TestOffsiteRefuses(t *testing.T) {
	const private = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
	whole := func(change string) string {
		return "backup: {offsite: {endpoint: s3.example.org, bucket: b, access_key_file: /k, secret_key_file: /s, " + change + "}}"
	}
	for content, want := range map[string]string{
		"backup: {offsite: {endpoint: h, bucket: b, secret_key_file: /s}}":                "access_key_file: a path is needed",
		"backup: {offsite: {endpoint: h, bucket: b, access_key_file: /k}}":                "secret_key_file: a path is needed",
		"backup: {offsite: {endpoint: h, access_key_file: /k, secret_key_file: /s}}":      "name of a bucket",
		"backup: {offsite: {bucket: b, access_key_file: /k, secret_key_file: /s}}":        "https://host",
		strings.Replace(whole(""), "s3.example.org", `"ftp://h"`, 1):                      "https://host",
		strings.Replace(whole(""), "s3.example.org", `"https://u:hunter2@h"`, 1):          "https://host",
		strings.Replace(whole(""), "s3.example.org", `"https://h/bucket"`, 1):             "https://host",
		strings.Replace(whole(""), "/k", "k", 1):                                          "absolute",
		whole("ca_file: x"):                                                               "absolute",
		whole("prefix: /a"):                                                               "joined by '/'",
		whole("prefix: a/../b"):                                                           "joined by '/'",
		whole("prefix: a/"):                                                               "joined by '/'",
		whole("bandwidth: 20"):                                                            "not a bandwidth",
		whole("bandwidth: 20B/s"):                                                         "at least 10kB/s",
		whole("bandwidth: -20MB/s"):                                                       "not a bandwidth",
		whole("bandwidth: NaNMB/s"):                                                       "not a bandwidth",
		whole("bandwidth: InfMB/s"):                                                       "not a bandwidth",
		"backup: {encrypt_to: [" + private + "]}":                                         "private key",
		"backup: {encrypt_to: [age1qqqq]}":                                                "not a public age key",
		"backup: {encrypt_to: [\"\"]}":                                                    "not a public age key",
		"backup: {encrypt_to: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample]}":            "not a public age key",
		"backup: {encrypt_to: [" + recipient + ", " + recipient[:len(recipient)-1] + "]}": "encrypt_to[1]",
	} {
		_, err := Parse([]byte(content))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", content, err, want)
		} else if strings.Contains(err.Error(), private) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a secret in %v", err)
		}
	}
}

func TestBandwidth(t *testing.T) {
	for text, want := range map[string]struct {
		bytes Bandwidth
		shown string
	}{
		"20MB/s": {20_000_000, "20MB/s"}, "800kB/s": {800_000, "800kB/s"}, "2 MiB/s": {2 << 20, "2097152B/s"}, "100Mbit/s": {12_500_000, "12500kB/s"},
		"1Gbit/s": {125_000_000, "125MB/s"}, "1.5GB/s": {1_500_000_000, "1500MB/s"}, "10000B/s": {10_000, "10kB/s"},
	} {
		parsed, err := ParseBandwidth(text)
		if err != nil || parsed != want.bytes || parsed.String() != want.shown {
			t.Errorf("%s: %d, shown %s, %v", text, parsed, parsed, err)
		}
	}
}
