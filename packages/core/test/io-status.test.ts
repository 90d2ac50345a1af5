// SPDX-License-Identifier: Apache-2.0
// The table is that of SPDK's test/unit/lib/bdev/scsi_nvme.c and lib/bdev/scsi_nvme.c.
import { describe, expect, it } from 'vitest'
import { ERRNO, IoStatus, IoType, type BdevIo } from '@bdevkit/module-sdk'
import { aioStatusOf, nvmeFusedStatusOf, nvmeStatusOf, scsiStatusOf } from '../src/index.js'

const ended = (fields: Partial<BdevIo> & { scsiSense?: readonly number[] }): BdevIo =>
  ({ type: IoType.Read, status: IoStatus.Failed, nvmeCdw0: 0, nvmeSct: 0, nvmeSc: 0, aioErrno: 0, ...fields }) as BdevIo
const nvme = (nvmeSct: number, nvmeSc: number): BdevIo => ended({ status: IoStatus.NvmeError, nvmeSct, nvmeSc })
const hex = (...bytes: number[]): string => bytes.map(byte => byte.toString(16).padStart(2, '0')).join('/')

describe('an I/O answered over NVMe', () => {
  for (const [name, wanted] of [
    ['Success', '00/00'],
    ['Failed', '00/06'],
    ['Nomem', '00/06'],
    ['AioError', '00/06'],
    ['ScsiError', '00/06'],
    ['Aborted', '00/07'],
    ['Miscompare', '02/85'],
    ['FirstFusedFailed', '00/06'],
  ] as const) {
    it(`that ended as ${name} is ${wanted}`, () => {
      const { sct, sc } = nvmeStatusOf(ended({ status: IoStatus[name] }))
      expect(hex(sct, sc)).toBe(wanted)
    })
  }

  it('keeps the status that its module gave, with its result', () => {
    expect(nvmeStatusOf(ended({ status: IoStatus.NvmeError, nvmeSct: 2, nvmeSc: 0x81, nvmeCdw0: 5 }))).toEqual({ sct: 2, sc: 0x81, cdw0: 5 })
  })

  it('that is an ABORT succeeds, and tells by its result whether it aborted', () => {
    expect(nvmeStatusOf(ended({ type: IoType.Abort, status: IoStatus.Success, nvmeCdw0: 9 }))).toEqual({ sct: 0, sc: 0, cdw0: 0 })
    expect(nvmeStatusOf(ended({ type: IoType.Abort, status: IoStatus.Failed }))).toEqual({ sct: 0, sc: 0, cdw0: 1 })
  })

  it('as two fused commands tells which of them failed', () => {
    const fused = (io: BdevIo): string => {
      const { first, second } = nvmeFusedStatusOf(io)
      return `${hex(first.sct, first.sc)} ${hex(second.sct, second.sc)}`
    }
    expect(fused(ended({ status: IoStatus.Success }))).toBe('00/00 00/00')
    expect(fused(ended({ status: IoStatus.Miscompare }))).toBe('02/85 00/09')
    expect(fused(nvme(2, 0x85))).toBe('02/85 00/09')
    expect(fused(nvme(2, 0x80))).toBe('00/00 02/80')
    expect(fused(ended({ status: IoStatus.FirstFusedFailed }))).toBe('00/06 00/09')
    expect(fused(ended({ status: IoStatus.Aborted }))).toBe('00/07 00/07')
    expect(fused(ended({ status: IoStatus.Failed }))).toBe('00/06 00/06')
  })
})

describe('an I/O answered over SCSI', () => {
  const sense = (io: BdevIo): string => {
    const { status, senseKey, asc, ascq } = scsiStatusOf(io)
    return hex(status, senseKey, asc, ascq)
  }

  it('has the sense of its status', () => {
    expect(sense(ended({ status: IoStatus.Success }))).toBe('00/00/00/00')
    expect(sense(ended({ status: IoStatus.Miscompare }))).toBe('02/0e/1d/00')
    expect(sense(ended({ status: IoStatus.ScsiError, scsiSense: [2, 5, 0x20, 1] }))).toBe('02/05/20/01')
    for (const status of [IoStatus.Failed, IoStatus.Aborted, IoStatus.AioError, IoStatus.Nomem]) expect(sense(ended({ status }))).toBe('02/0b/00/00')
  })

  for (const [sct, sc, wanted] of [
    [0, 0x00, '00/00/00/00'], [0, 0x01, '02/05/20/00'], [0, 0x02, '02/05/24/00'], [0, 0x04, '02/03/00/00'], [0, 0x05, '40/0b/0b/08'],
    [0, 0x06, '02/04/44/00'], [0, 0x07, '40/0b/00/00'], [0, 0x08, '40/0b/00/00'], [0, 0x09, '40/0b/00/00'], [0, 0x0a, '40/0b/00/00'],
    [0, 0x0b, '02/05/20/09'], [0, 0x80, '02/05/21/00'], [0, 0x81, '02/03/00/00'], [0, 0x82, '02/02/04/00'], [0, 0x83, '18/00/00/00'],
    [0, 0x7f, '02/05/00/00'], [1, 0x0a, '02/05/31/01'], [1, 0x80, '02/05/24/00'], [1, 0x82, '02/07/27/00'], [1, 0x00, '02/05/00/00'],
    [2, 0x80, '02/03/03/00'], [2, 0x81, '02/03/11/00'], [2, 0x82, '02/03/10/01'], [2, 0x83, '02/03/10/02'], [2, 0x84, '02/03/10/03'],
    [2, 0x85, '02/0e/1d/00'], [2, 0x86, '02/07/20/02'], [2, 0x87, '02/05/00/00'], [3, 0x00, '02/05/00/00'], [7, 0x01, '02/05/00/00'],
  ] as const) {
    it(`with NVMe status ${hex(sct, sc)} is ${wanted}`, () => {
      expect(sense(nvme(sct, sc))).toBe(wanted)
    })
  }
})

it('an I/O answered by errno keeps its own, and is EIO where it has none', () => {
  expect(aioStatusOf(ended({ status: IoStatus.Success, aioErrno: -5 }))).toBe(0)
  expect(aioStatusOf(ended({ status: IoStatus.AioError, aioErrno: -ERRNO.ENOSPC }))).toBe(-ERRNO.ENOSPC)
  expect(aioStatusOf(ended({ status: IoStatus.NvmeError }))).toBe(-ERRNO.EIO)
})
