// SPDX-License-Identifier: Apache-2.0
// data plane
// What two parities can give back. GF(2^8) with the polynomial 0x11d, the generator 2: H. P. Anvin, "The mathematics of RAID-6".
import type { Accel, Iov } from '@bdevkit/module-sdk'

/** Powers of 2, twice round, so that a sum of two logarithms needs no modulo. */
const EXP = new Uint8Array(510)
const LOG = new Uint8Array(256)
for (let i = 0, power = 1; i < 255; i++) {
  EXP[i] = power
  EXP[i + 255] = power
  LOG[power] = i
  power = power & 0x80 ? ((power << 1) ^ 0x11d) & 0xff : power << 1
}

/** 2^exponent, `exponent` from 0 to 254: the factor of data strip `exponent` in Q. */
export function gfPower(exponent: number): number {
  return EXP[exponent]
}

/** The product of two elements. */
export function gfMul(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a] + LOG[b]]
}

/** The quotient; `b` is not 0. */
export function gfDiv(a: number, b: number): number {
  return a === 0 ? 0 : EXP[LOG[a] + 255 - LOG[b]]
}

/**
 * Makes data strips from parity. `strips` has one element a role: `numData` of data, then P, then (where there is one) Q;
 * those of the strips `x` and `y` (-1: none) are where the result goes, all others that are needed hold what is on the members.
 * With one strip lost, P gives it back, or Q where `withoutP` says that P is lost, too. With two, both parities are needed.
 */
export function solveData(accel: Accel, strips: readonly Iov[], numData: number, x: number, y: number, withoutP: boolean, lengthBytes: number): void {
  if (y >= 0) solveTwo(accel, strips, numData, x, y, lengthBytes)
  else if (withoutP) solveByQ(accel, strips, numData, x, lengthBytes)
  else solveByP(accel, strips, numData, x, lengthBytes)
}

/** x = P ^ the other strips. */
function solveByP(accel: Accel, strips: readonly Iov[], numData: number, x: number, lengthBytes: number): void {
  const { buf, off } = strips[x]
  const p = strips[numData]
  accel.copy(buf, off, p.buf, p.off, lengthBytes)
  for (let i = 0; i < numData; i++) if (i !== x) accel.xor(buf, off, strips[i].buf, strips[i].off, lengthBytes)
}

/** x = (Q ^ the other strips, each by its factor) / the factor of x. */
function solveByQ(accel: Accel, strips: readonly Iov[], numData: number, x: number, lengthBytes: number): void {
  const { buf, off } = strips[x]
  const q = strips[numData + 1]
  accel.fill(buf, off, 0, lengthBytes)
  accel.gfMulXor(buf, off, q.buf, q.off, gfDiv(1, EXP[x]), lengthBytes)
  for (let i = 0; i < numData; i++) {
    if (i !== x) accel.gfMulXor(buf, off, strips[i].buf, strips[i].off, gfDiv(EXP[i], EXP[x]), lengthBytes)
  }
}

/**
 * With p and q for what P and Q are without the other strips: p = x ^ y and q = 2^x·x ^ 2^y·y. So x = (q ^ 2^y·p) / (2^x ^ 2^y),
 * and y = p ^ x, which is P ^ all others.
 */
function solveTwo(accel: Accel, strips: readonly Iov[], numData: number, x: number, y: number, lengthBytes: number): void {
  const { buf, off } = strips[x]
  const p = strips[numData]
  const q = strips[numData + 1]
  const divisor = EXP[x] ^ EXP[y]
  accel.fill(buf, off, 0, lengthBytes)
  accel.gfMulXor(buf, off, q.buf, q.off, gfDiv(1, divisor), lengthBytes)
  accel.gfMulXor(buf, off, p.buf, p.off, gfDiv(EXP[y], divisor), lengthBytes)
  for (let i = 0; i < numData; i++) {
    if (i !== x && i !== y) accel.gfMulXor(buf, off, strips[i].buf, strips[i].off, gfDiv(EXP[i] ^ EXP[y], divisor), lengthBytes)
  }
  solveByP(accel, strips, numData, y, lengthBytes)
}
