#!/bin/sh
# Makes each secret readable only for the user that needs it: owners.sh FOLDER. Run it as root after each new secret. FOLDER
# holds certificates/ and passwords-*. BROKER_UID is the user of Mosquitto (1883 in its image), APP_UID that of the apps.
set -eu
cd "${1:?folder}"
broker=${BROKER_UID:-1883}
app=${APP_UID:-1000}
chmod 600 certificates/*.key certificates/*.password passwords-*
chown "$broker" certificates/broker.key passwords-*
for name in ingester dispatcher; do
  chown "$app" "certificates/$name.key" "certificates/$name.password"
done
