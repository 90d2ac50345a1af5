// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { IoStatus, ioStatusName } from '../src/index.js'

test('ioStatusName knows each status of the contract, and gives the number of any other', () => {
  expect(Object.values(IoStatus).map(ioStatusName)).toEqual(Object.keys(IoStatus))
  expect([ioStatusName(-7), ioStatusName(1), ioStatusName(-77), ioStatusName(2)]).toEqual(['Aborted', 'Success', '-77', '2'])
})
