# Alertmanager as Debian installs it, with the configuration that mails.
moodle-exporter alerts export /etc/prometheus/moodle
sed -i 's/root@localhost/admin@example.org/' /etc/prometheus/moodle/alertmanager.yml
amtool check-config /etc/prometheus/moodle/alertmanager.yml
echo 'ARGS="--config.file=/etc/prometheus/moodle/alertmanager.yml"' > /etc/default/prometheus-alertmanager
systemctl restart prometheus-alertmanager
