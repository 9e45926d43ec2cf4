// SPDX-License-Identifier: MIT
//! The crate behind a C interface. The timed loops are here, so that a packet pays for no call between languages and the
//! compiler sees all of the crate; each result goes through a black box, as in the crate's own benchmarks. So does the
//! reassembler before each segment: otherwise the loop of a stopped one is compiled to an addition.
//!
//! Every function takes what a `_new` function gave and is called from one thread.

#![allow(clippy::missing_safety_doc)]

use std::slice;

/// A frame that the caller owns.
#[repr(C)]
pub struct Frame {
    data: *const u8,
    length: usize,
}

unsafe fn bytes<'a>(frame: &Frame) -> &'a [u8] {
    unsafe { slice::from_raw_parts(frame.data, frame.length) }
}

unsafe fn views<'a>(frames: *const Frame, count: usize) -> &'a [Frame] {
    unsafe { slice::from_raw_parts(frames, count) }
}

/// Where a frame of Ethernet, IPv4 and TCP, all without options, has its sequence number.
const SEQUENCE_AT: usize = 14 + 20 + 4;

/// What the releases have in common.
macro_rules! layers {
    ($release:ident, $extract:ident, $tracker_new:ident, $tracker_run:ident, $tracker_free:ident, $dedup_new:ident,
     $dedup_run:ident, $dedup_free:ident) => {
        type Tracker = $release::FlowTracker<FiveTuple>;

        fn view(frame: &[u8]) -> PacketView<'_> {
            PacketView::new(frame, Timestamp::default())
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $extract(frame: &Frame, iterations: u64) {
            let extractor = FiveTuple::bidirectional();
            let frame = unsafe { bytes(frame) };
            for _ in 0..iterations {
                black_box(extractor.extract(view(frame)));
            }
        }

        #[unsafe(no_mangle)]
        pub extern "C" fn $tracker_new(max_flows: usize) -> *mut Tracker {
            let mut config = FlowTrackerConfig::default();
            config.max_flows = max_flows;
            Box::into_raw(Box::new(Tracker::with_config(FiveTuple::bidirectional(), config)))
        }

        /// Track the frames in turn, from number `start` on; returns the flows that there are.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $tracker_run(
            tracker: &mut Tracker, frames: *const Frame, count: usize, start: usize, iterations: u64,
        ) -> usize {
            let frames = unsafe { views(frames, count) };
            let mut i = start;
            for _ in 0..iterations {
                black_box(tracker.track(view(unsafe { bytes(&frames[i % frames.len()]) })));
                i = i.wrapping_add(1);
            }
            tracker.flow_count()
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $tracker_free(tracker: *mut Tracker) {
            drop(unsafe { Box::from_raw(tracker) });
        }

        #[unsafe(no_mangle)]
        pub extern "C" fn $dedup_new() -> *mut Dedup {
            Box::into_raw(Box::new(Dedup::loopback()))
        }

        /// One frame, whose first eight bytes count up if each is to be `unique`; returns the duplicates so far.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $dedup_run(
            dedup: &mut Dedup, frame: *mut u8, length: usize, unique: bool, start: u64, iterations: u64,
        ) -> u64 {
            let frame = unsafe { slice::from_raw_parts_mut(frame, length) };
            let mut number = start;
            for _ in 0..iterations {
                number += unique as u64;
                frame[..8].copy_from_slice(&number.to_ne_bytes());
                black_box(dedup.keep(view(frame)));
            }
            dedup.dropped()
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $dedup_free(dedup: *mut Dedup) {
            drop(unsafe { Box::from_raw(dedup) });
        }
    };
}

/// The reassembler; `segment` takes a time in the newer release.
macro_rules! reassembler {
    ($new:ident, $run:ident, $free:ident $(, $time:expr)?) => {
        pub struct Stream {
            reassembler: BufferedReassembler,
            sequence: u32,
            payload: Vec<u8>,
        }

        /// `limit` 0: none.
        #[unsafe(no_mangle)]
        pub extern "C" fn $new(limit: usize, drop_flow: bool) -> *mut Stream {
            let mut reassembler = BufferedReassembler::new();
            if limit > 0 {
                reassembler = reassembler.with_max_buffer(limit);
            }
            if drop_flow {
                reassembler = reassembler.with_overflow_policy(OverflowPolicy::DropFlow);
            }
            Box::into_raw(Box::new(Stream { reassembler, sequence: 0, payload: vec![0; 1500] }))
        }

        /// Segments in order; all is taken when more than `take_above` bytes wait.
        #[unsafe(no_mangle)]
        pub extern "C" fn $run(stream: &mut Stream, take_above: usize, iterations: u64) {
            for _ in 0..iterations {
                let stream = black_box(&mut *stream);
                stream.reassembler.segment(stream.sequence, &stream.payload $(, $time)?);
                stream.sequence = stream.sequence.wrapping_add(stream.payload.len() as u32);
                if stream.reassembler.buffered_len() > take_above {
                    black_box(stream.reassembler.take());
                }
            }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $free(stream: *mut Stream) {
            drop(unsafe { Box::from_raw(stream) });
        }
    };
}

mod release_0_3 {
    use super::{Frame, SEQUENCE_AT, bytes, slice, views};
    use flowscope_0_3::extract::FiveTuple;
    use flowscope_0_3::extractor::FlowExtractor;
    use flowscope_0_3::tracker::FlowTrackerConfig;
    use flowscope_0_3::{
        BufferedReassembler, Dedup, FlowSessionDriver, OverflowPolicy, PacketView, Reassembler, SessionParser, Timestamp,
    };
    use std::hint::black_box;

    layers!(flowscope_0_3, peer_0_3_extract, peer_0_3_tracker_new, peer_0_3_tracker_run, peer_0_3_tracker_free,
            peer_0_3_dedup_new, peer_0_3_dedup_run, peer_0_3_dedup_free);
    reassembler!(peer_0_3_reassembler_new, peer_0_3_reassembler_run, peer_0_3_reassembler_free);

    /// The same segment, far ahead, for ever.
    #[unsafe(no_mangle)]
    pub extern "C" fn peer_0_3_reassembler_ahead(stream: &mut Stream, iterations: u64) -> u64 {
        for _ in 0..iterations {
            let stream = black_box(&mut *stream);
            stream.reassembler.segment(1_000_000, &stream.payload);
            black_box(stream.reassembler.dropped_segments());
        }
        stream.reassembler.dropped_segments()
    }

    #[derive(Default, Clone)]
    struct Nothing {
        bytes: u64,
    }

    impl SessionParser for Nothing {
        type Message = ();
        fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<()> {
            self.bytes += black_box(bytes).len() as u64;
            Vec::new()
        }
        fn feed_responder(&mut self, bytes: &[u8]) -> Vec<()> {
            self.bytes += black_box(bytes).len() as u64;
            Vec::new()
        }
    }

    pub struct Session {
        driver: FlowSessionDriver<FiveTuple, Nothing>,
    }

    /// `frames`: the handshake.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn peer_0_3_session_new(frames: *const Frame, count: usize) -> *mut Session {
        let mut driver = FlowSessionDriver::new(FiveTuple::bidirectional());
        for frame in unsafe { views(frames, count) } {
            driver.track(view(unsafe { bytes(frame) }));
        }
        Box::into_raw(Box::new(Session { driver }))
    }

    /// The frame again and again, its sequence number going on; returns the next one.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn peer_0_3_session_run(
        session: &mut Session, frame: *mut u8, length: usize, payload: u32, sequence: u32, iterations: u64,
    ) -> u32 {
        let frame = unsafe { slice::from_raw_parts_mut(frame, length) };
        let mut sequence = sequence;
        for _ in 0..iterations {
            frame[SEQUENCE_AT..SEQUENCE_AT + 4].copy_from_slice(&sequence.to_be_bytes());
            black_box(session.driver.track(view(frame)));
            sequence = sequence.wrapping_add(payload);
        }
        sequence
    }

    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn peer_0_3_session_free(session: *mut Session) {
        drop(unsafe { Box::from_raw(session) });
    }
}

mod release_0_26 {
    use super::{Frame, SEQUENCE_AT, bytes, slice, views};
    use flowscope_0_26::dedup::Dedup;
    use flowscope_0_26::driver::{Driver, Event, SlotHandle, SlotMessage};
    use flowscope_0_26::extract::{FiveTuple, FiveTupleKey};
    use flowscope_0_26::extractor::FlowExtractor;
    use flowscope_0_26::tracker::FlowTrackerConfig;
    use flowscope_0_26::{BufferedReassembler, OverflowPolicy, PacketView, Reassembler, SessionParser, Timestamp};
    use std::hint::black_box;

    layers!(flowscope_0_26, peer_0_26_extract, peer_0_26_tracker_new, peer_0_26_tracker_run, peer_0_26_tracker_free,
            peer_0_26_dedup_new, peer_0_26_dedup_run, peer_0_26_dedup_free);
    reassembler!(peer_0_26_reassembler_new, peer_0_26_reassembler_run, peer_0_26_reassembler_free,
                 Timestamp::default());

    #[derive(Default, Clone)]
    struct Nothing {
        bytes: u64,
    }

    impl SessionParser for Nothing {
        type Message = ();
        fn feed_initiator(&mut self, bytes: &[u8], _: Timestamp, _: &mut Vec<()>) {
            self.bytes += black_box(bytes).len() as u64;
        }
        fn feed_responder(&mut self, bytes: &[u8], _: Timestamp, _: &mut Vec<()>) {
            self.bytes += black_box(bytes).len() as u64;
        }
    }

    pub struct Session {
        driver: Driver<FiveTuple>,
        slot: SlotHandle<(), FiveTupleKey>,
        events: Vec<Event<FiveTupleKey>>,
        messages: Vec<SlotMessage<(), FiveTupleKey>>,
    }

    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn peer_0_26_session_new(frames: *const Frame, count: usize) -> *mut Session {
        let mut builder = Driver::builder(FiveTuple::bidirectional());
        let slot = builder.session_on_ports(Nothing::default(), [80]);
        let mut session = Session { driver: builder.build(), slot, events: Vec::new(), messages: Vec::new() };
        for frame in unsafe { views(frames, count) } {
            session.driver.track_into(view(unsafe { bytes(frame) }), &mut session.events);
            session.events.clear();
        }
        Box::into_raw(Box::new(session))
    }

    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn peer_0_26_session_run(
        session: &mut Session, frame: *mut u8, length: usize, payload: u32, sequence: u32, iterations: u64,
    ) -> u32 {
        let frame = unsafe { slice::from_raw_parts_mut(frame, length) };
        let mut sequence = sequence;
        for _ in 0..iterations {
            frame[SEQUENCE_AT..SEQUENCE_AT + 4].copy_from_slice(&sequence.to_be_bytes());
            session.events.clear();
            session.driver.track_into(view(frame), &mut session.events);
            session.slot.drain(&mut session.messages);
            black_box((&session.events, &session.messages));
            session.messages.clear();
            sequence = sequence.wrapping_add(payload);
        }
        sequence
    }

    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn peer_0_26_session_free(session: *mut Session) {
        drop(unsafe { Box::from_raw(session) });
    }
}
