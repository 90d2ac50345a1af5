// SPDX-License-Identifier: Apache-2.0
import type { Logger, RpcCall } from '@bdevkit/module-sdk'
import { BdevError } from '@bdevkit/module-sdk'
import type { Bdev } from '../bdev/bdev.js'
import { visitChannels } from '../channel/walk-channels.js'
import { QOS_IOS_STEP, QOS_MBYTES_MAX } from '../limits.js'
import { disableLimited, Qos } from './qos.js'
import type { QosLimit } from './qos-limit.js'

/** Rate limits of a bdev. 0 takes a limit off; what is left out stays as it is. */
export interface QosLimits {
  /** READ and WRITE operations a second, rounded up to a multiple of 1000. */
  rwIosPerSec?: number
  /** Bytes read and written a second, in MiB. */
  rwMbytesPerSec?: number
  /** Bytes read a second, in MiB. */
  rMbytesPerSec?: number
  /** Bytes written a second, in MiB. */
  wMbytesPerSec?: number
}

/** Members of {@link QosLimits} in the order in which an I/O is charged, each with its parameter of `bdev_set_qos_limit`. */
export const QOS_LIMIT_KEYS = [
  ['rwIosPerSec', 'rw_ios_per_sec'],
  ['rwMbytesPerSec', 'rw_mbytes_per_sec'],
  ['rMbytesPerSec', 'r_mbytes_per_sec'],
  ['wMbytesPerSec', 'w_mbytes_per_sec'],
] as const

const MIB = 0x10_0000

/**
 * Sets rate limits at any time (`spdk_bdev_set_qos_rate_limits`); settles when every channel keeps them. With no limit
 * left, what was queued is sent.
 * @throws BdevError EINVAL a limit is no integer of 0 or more; EAGAIN another change is under way, or the bdev is being
 * removed.
 */
export async function setQosLimits(bdev: Bdev, limits: QosLimits): Promise<void> {
  const rounded = roundQosLimits(bdev.name, limits, bdev.host.log)
  if (bdev.qosChanging) {
    throw new BdevError('EAGAIN', `rate limits of bdev "${bdev.name}": another change of them is under way; try again when it has ended`)
  }
  bdev.qosChanging = true
  try {
    const left = rounded.map((value, i) => value ?? bdev.qos?.limits[i]!.perSecond ?? 0)
    if (left.some(perSecond => perSecond > 0)) await change(bdev, left)
    else if (bdev.qos !== null) await takeOff(bdev, bdev.qos)
  } finally {
    bdev.qosChanging = false
    bdev.changed?.()
  }
}

/** The limits in force or waiting for the next open, in operations and MiB a second; 0 = off. */
export function getQosLimits(bdev: Bdev): Required<QosLimits> {
  return qosLimitsOf(bdev.qos?.limits ?? null)
}

/** The call that brings the limits back; `undefined` where there are none. */
export function qosConfigJson(bdev: Bdev): RpcCall | undefined {
  if (bdev.qos === null) return undefined
  const limits = getQosLimits(bdev)
  const params: Record<string, string | number> = { name: bdev.name }
  for (const [key, name] of QOS_LIMIT_KEYS) if (limits[key] > 0) params[name] = limits[key]
  return { method: 'bdev_set_qos_limit', params }
}

async function change(bdev: Bdev, perSecond: readonly number[]): Promise<void> {
  const qos = (bdev.qos ??= new Qos(bdev))
  perSecond.forEach((value, i) => (qos.limits[i]!.perSecond = value))
  const thread = qos.thread
  if (thread !== null) {
    await new Promise<void>(resolve => {
      thread.sendMsg(() => {
        if (qos.thread !== null) qos.apply()
        resolve()
      }, undefined)
    })
    return
  }
  const removed = await visitChannels(bdev, ch => {
    if (bdev.status === 'ready') qos.enable(ch)
    else if (qos.thread === null) {
      bdev.qos = null
      return 1
    }
    return 0
  })
  if (removed !== 0) throw new BdevError('EAGAIN', `rate limits of bdev "${bdev.name}": it is being removed; try again when it is back`)
}

async function takeOff(bdev: Bdev, qos: Qos): Promise<void> {
  for (const limit of qos.limits) limit.perSecond = 0
  await visitChannels(bdev, disableLimited)
  bdev.qos = null
  qos.stop()
}

/**
 * The given limits in units a second and in the order of charge, rounded as SPDK rounds them; `undefined` = unchanged.
 * @throws BdevError EINVAL one is no integer of 0 or more.
 */
function roundQosLimits(bdevName: string, limits: QosLimits, log: Logger): readonly (number | undefined)[] {
  return QOS_LIMIT_KEYS.map(([key, name]) => {
    let value = limits[key]
    if (value === undefined) return undefined
    if (!(Number.isInteger(value) && value >= 0)) {
      throw new BdevError('EINVAL', `rate limits of bdev "${bdevName}": wanted ${key} to be an integer of 0 or more, found ${String(value)}`)
    }
    if (key === 'rwIosPerSec') {
      const rounded = Math.ceil(value / QOS_IOS_STEP) * QOS_IOS_STEP
      if (rounded !== value) log.warn(`rate limit ${name} of bdev "${bdevName}": ${value} is no multiple of ${QOS_IOS_STEP}; ${rounded} is used`)
      return rounded
    }
    if (value > QOS_MBYTES_MAX) {
      log.warn(`rate limit ${name} of bdev "${bdevName}": ${value} MiB/s is more than can be counted; ${QOS_MBYTES_MAX} is used`)
      value = QOS_MBYTES_MAX
    }
    return value * MIB
  })
}

/** Limits as users see them: operations and MiB a second, 0 = off. */
function qosLimitsOf(limits: readonly QosLimit[] | null): Required<QosLimits> {
  const shown = { rwIosPerSec: 0, rwMbytesPerSec: 0, rMbytesPerSec: 0, wMbytesPerSec: 0 }
  limits?.forEach((limit, i) => {
    shown[QOS_LIMIT_KEYS[i]![0]] = limit.countsIos ? limit.perSecond : Math.floor(limit.perSecond / MIB)
  })
  return shown
}
