#!/bin/sh
# Makes the development PKI of compose.yaml in the working directory, once. Not for production: the
# keys of the CAs stay beside what they signed.
set -eu

if [ -e complete ]; then
    echo "the PKI is there already; remove the volume to make another"
    exit 0
fi

# What an earlier, broken run left behind is replaced.
portcullis pki ca --force --name "Edge CA" --out edge-ca
portcullis pki ca --force --name "Partners CA" --out clients-ca
portcullis pki ca --force --name "Mesh CA" --out mesh-ca

portcullis pki server --force --ca edge-ca.pem --dns api.example.com --out edge
portcullis pki client --force --ca clients-ca.pem \
    --spiffe spiffe://partners.example/web/shop --out shop
portcullis pki client --force --ca mesh-ca.pem \
    --spiffe spiffe://mesh.example/ns/edge/sa/gateway --out gateway
portcullis pki service --force --ca mesh-ca.pem --dns orders.internal \
    --spiffe spiffe://mesh.example/ns/shop/sa/orders --out orders
portcullis pki service --force --ca mesh-ca.pem --dns billing.internal \
    --spiffe spiffe://mesh.example/ns/shop/sa/billing --out billing

portcullis token keys --force --out signing --jwks jwks.json
touch complete
