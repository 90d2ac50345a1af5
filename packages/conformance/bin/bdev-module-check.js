#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// A file of its own, so that a package manager can link it before the first build.
import '../dist/main.js'
